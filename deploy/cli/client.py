"""How `millrace` asks the api: over HTTP, like any other client.

Follows no redirect: what a function answers is for the caller, whatever it is.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp
import msgspec

from common.models import clean_path
from deploy.cli.address import Address
from deploy.cli.answers import (
    Accepted,
    Answer,
    BadAddressError,
    CallAnswer,
    Record,
    UnreachableError,
    decode,
    refusal,
    warnings_in,
)

ANSWER_S = 15.0
LONG_ANSWER_S = 300.0  # of what may be large, or has much to delete
LINE_S = 30.0
CONNECT_S = 10.0
TEXT_PLAIN = {"Accept": "text/plain, */*"}


class QueueState(msgspec.Struct):
    """What ``GET /v1/queue`` says, as far as it matters here."""

    ready: dict[str, int]
    delayed: int
    leased: int
    is_paused: bool = False

    @property
    def waiting(self) -> int:
        """How many calls it holds that have not ended."""
        return sum(self.ready.values()) + self.delayed + self.leased


class _AppNames(msgspec.Struct):
    apps: list[dict[str, object]]


class Client:
    """A client of the api at *address*, with *token* if there is one.

    Every request is bounded, by ANSWER_S unless it says otherwise. Methods raise ClientError.
    """

    def __init__(self, address: Address | str, token: str = "") -> None:
        url, self._origin = (address, "") if isinstance(address, str) else address
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._session = aiohttp.ClientSession(base_url=url, headers=headers)
        except ValueError as error:
            raise BadAddressError(
                f"{url!r} is no address of an api, like http://127.0.0.1:8080: {error}"
            ) from error
        self._url = url
        self.warnings: list[str] = []  # what the api ignored of the requests so far

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        answer_s: float = ANSWER_S,
    ) -> bytes:
        """What the api answers, in JSON unless asked for another. Raises ClientError, with its words if it refuses."""
        answer = await self.send(method, path, body, query=query, headers=headers, answer_s=answer_s)
        if answer.status >= 300:
            raise refusal(f"{method} {path}", answer)
        self.warnings += warnings_in(answer)
        return answer.body

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        answer_s: float = ANSWER_S,
    ) -> Answer:
        """Whatever is answered, also if that is a refusal. Raises UnreachableError without an answer."""
        bounds = aiohttp.ClientTimeout(total=answer_s)
        async with self._request(method, path, body, query, headers, bounds) as response:
            return Answer(response.status, response.headers, await response.read())

    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """What is answered, as it comes, for as long as it comes: the caller knows when to cancel.

        Raises UnreachableError when it breaks off.
        """
        bounds = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        async with self._streamed("GET", path, query, bounds) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def lines(self, method: str, path: str) -> AsyncIterator[bytes]:
        """Lines that tell how work goes on, as they come; at most LINE_S from one to the next.

        Raises UnreachableError when they break off.
        """
        bounds = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=LINE_S)
        async with self._streamed(method, path, {}, bounds) as response:
            async for line in response.content:
                yield line

    @asynccontextmanager
    async def _streamed(
        self, method: str, path: str, query: Mapping[str, str], bounds: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._request(method, path, b"", query, None, bounds) as response:
            if response.status != 200:
                answer = Answer(response.status, response.headers, await response.read())
                raise refusal(f"{method} {path}", answer)
            yield response

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        body: bytes,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        bounds: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                *(method, path),
                data=body or None,
                params=query,
                headers=headers,
                timeout=bounds,
                allow_redirects=False,
            ) as response:
                yield response
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError) as error:
            raise BadAddressError(f"{method} {self._url}{path}: {error}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreached(f"{method} {path}", error) from error

    def _unreached(self, what: str, error: Exception) -> UnreachableError:
        origin = f", {self._origin}" if self._origin else ""
        if isinstance(error, aiohttp.ClientConnectorError):
            number = error.os_error.errno or 0
            cause = os.strerror(number) if number > 0 else error.os_error.strerror or str(error.os_error)
            return UnreachableError(f"no api answers at {self._url} ({cause}){origin}")
        cause = str(error) or "too late"
        return UnreachableError(f"{what}: the api at {self._url} did not answer ({cause}){origin}")

    async def put_route(self, app: str, route: dict[str, object]) -> None:
        """Make the route, and its app, or set the one that is there."""
        body = msgspec.json.encode({"route": route})
        await self.ask("PUT", f"/v1/apps/{app}/routes{route['path']}", body)

    async def submit(self, app: str, path: str, payload: bytes, *, priority: int, delay_s: int) -> str:
        """Submit an async call; its id."""
        headers = {"Millrace-Priority": str(priority), "Millrace-Delay": str(delay_s)}
        answer = await self.ask("POST", f"/r/{app}{path}", payload, headers=headers)
        return decode(answer, Accepted).call_id

    async def call(self, app: str, path: str, payload: bytes) -> str:
        """Call a sync route; its answer."""
        answer = await self.ask("POST", f"/r/{app}{path}", payload)
        return answer.decode(errors="replace")

    async def get_call(self, app: str, call_id: str) -> Record:
        """Return the call's record as it is now."""
        return decode(await self.ask("GET", call_path(app, call_id)), CallAnswer).call

    async def get_log(self, app: str, call_id: str) -> str:
        """Return what a call that has ended wrote to its standard error."""
        body = await self.ask("GET", call_path(app, call_id, "log"), headers=TEXT_PLAIN)
        return body.decode(errors="replace")

    async def get_result(self, app: str, call_id: str) -> str:
        """Return what a call that has ended wrote to its standard output."""
        return (await self.ask("GET", call_path(app, call_id, "result"))).decode(errors="replace")

    async def get_queue_state(self) -> QueueState:
        """Return what the queue holds, and whether it is paused."""
        return decode(await self.get_depth(), QueueState)

    async def has_apps(self) -> bool:
        """Whether there is any app."""
        return bool(decode(await self.ask("GET", "/v1/apps", query={"per_page": "1"}), _AppNames).apps)

    async def get_depth(self) -> bytes:
        """Return the depth of the queue, as the api's JSON."""
        return await self.ask("GET", "/v1/queue")


def path_of(*segments: str) -> str:
    """The path of these segments. Raises BadAddressError for one that would be taken for another path."""
    for segment in segments:
        if segment in ("", ".", ".."):
            raise BadAddressError(f"{segment!r} is no name")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def call_path(app: str, call_id: str, *more: str) -> str:
    """The path of a call, or of something of it."""
    return path_of("v1", "apps", app, "calls", call_id, *more)


def route_path(app: str, path: str) -> str:
    """The path of a route, to manage it. ``..`` in *path* does not lead out of the app."""
    return f"{path_of('v1', 'apps', app, 'routes')}{quote(clean_path(path))}"


def invocation_path(app: str, path: str) -> str:
    """The path at which a route is called. ``..`` in *path* does not lead out of the app."""
    return f"{path_of('r', app)}{quote(clean_path(path))}"
