"""What `millrace` asks of the api, over HTTP like any other client. Knows of answers only what is used here."""

from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from common.errors import FatalError

ANSWER_S = 15.0

T = TypeVar("T")


class ClientError(FatalError):
    """The api refused a request, did not answer, or answered what was not expected. ``status``: 0 without an answer."""

    slug = "client_failed"
    default_message = "The api did not answer as expected"

    def __init__(self, message: str = "", *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Sample(msgspec.Struct):
    """One sample of what a call used."""

    metrics: dict[str, int]


class Record(msgspec.Struct):
    """A call as the api tells it."""

    id: str
    status: str
    created_at: datetime
    priority: int = 0
    delay: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    stats: list[Sample] = []
    reason: str | None = None
    error: str = ""


class _CallAnswer(msgspec.Struct):
    call: Record


class _Accepted(msgspec.Struct):
    call_id: str


class _Depth(msgspec.Struct):
    ready: dict[str, int]
    delayed: int
    leased: int


class Client:
    """A client of the api at *url*, with *token* if there is one; every request is bounded by ANSWER_S.

    Methods raise ClientError.
    """

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._session = aiohttp.ClientSession(
                base_url=url, headers=headers, timeout=aiohttp.ClientTimeout(total=ANSWER_S)
            )
        except ValueError as error:
            raise ClientError(f"{url!r} is no address of an api: {error}") from error
        self._url = url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def put_route(self, app: str, route: dict[str, object]) -> None:
        """Make the route, and its app, or set the one that is there."""
        body = msgspec.json.encode({"route": route})
        await self._ask("PUT", f"/v1/apps/{app}/routes{route['path']}", 200, body)

    async def submit(self, app: str, path: str, payload: bytes, *, priority: int, delay_s: int) -> str:
        """Submit an async call; its id."""
        headers = {"Millrace-Priority": str(priority), "Millrace-Delay": str(delay_s)}
        answer = await self._ask("POST", f"/r/{app}{path}", 202, payload, headers)
        return decode(answer, _Accepted).call_id

    async def call(self, app: str, path: str, payload: bytes) -> str:
        """Call a sync route; its answer."""
        answer = await self._ask("POST", f"/r/{app}{path}", 200, payload)
        return answer.decode(errors="replace")

    async def get_call(self, app: str, call_id: str) -> Record:
        """Return the call's record as it is now."""
        return decode(await self._ask("GET", f"/v1/apps/{app}/calls/{call_id}", 200), _CallAnswer).call

    async def get_log(self, app: str, call_id: str) -> str:
        """Return what a call that has ended wrote to its standard error."""
        return await self._get_text(f"/v1/apps/{app}/calls/{call_id}/log")

    async def get_result(self, app: str, call_id: str) -> str:
        """Return what a call that has ended wrote to its standard output."""
        return await self._get_text(f"/v1/apps/{app}/calls/{call_id}/result")

    async def count_waiting(self) -> int:
        """Return how many calls the queue holds that have not ended."""
        depth = decode(await self.get_depth(), _Depth)
        return sum(depth.ready.values()) + depth.delayed + depth.leased

    async def get_depth(self) -> bytes:
        """Return the depth of the queue, as the api's JSON."""
        return await self._ask("GET", "/v1/queue", 200)

    async def get_head(self) -> bytes:
        """Return the next calls of the queue, as the api's JSON."""
        return await self._ask("GET", "/v1/queue/head", 200)

    async def switch_queue(self, action: str) -> bytes:
        """Pause or resume the queue (*action*); return its depth then, as the api's JSON."""
        return await self._ask("POST", f"/v1/queue/{action}", 200)

    async def create_token(self, body: bytes) -> bytes:
        """Create the token that *body* asks for; the api's JSON, with its secret."""
        return await self._ask("POST", "/v1/tokens", 200, body)

    async def get_tokens(self) -> bytes:
        """Return all tokens without their secrets, as the api's JSON."""
        return await self._ask("GET", "/v1/tokens", 200)

    async def revoke_token(self, token_id: str) -> None:
        """Revoke the token of this id."""
        await self._ask("DELETE", f"/v1/tokens/{quote(token_id, safe='')}", 200)

    async def _get_text(self, path: str) -> str:
        body = await self._ask("GET", path, 200, headers={"Accept": "text/plain, */*"})
        return body.decode(errors="replace")

    async def _ask(
        self, method: str, path: str, expected: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> bytes:
        try:
            async with self._session.request(method, path, data=body or None, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            cause = str(error) or type(error).__name__
            raise ClientError(f"{method} {self._url}{path}: the api did not answer ({cause})") from error
        if response.status != expected:
            text = answer[:500].decode(errors="replace").strip()
            hint = " (set MILLRACE_TOKEN to a token that is valid)" if response.status == 401 else ""
            raise ClientError(
                f"{method} {path}: the api answered {response.status} {text}{hint}", status=response.status
            )
        return answer


def decode(body: bytes, shape: type[T]) -> T:
    """An answer of the api as a *shape*. Raises ClientError if it is none."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.MsgspecError as error:
        raise ClientError(f"the api's answer was not understood: {error}") from error
