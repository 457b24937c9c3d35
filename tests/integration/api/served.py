"""An api served on a port of the loopback, with real servers behind it, and a client that shows answers as they are."""

import asyncio
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import UUID

import aiohttp
from aiohttp import web
from msgspec.structs import replace
from multidict import CIMultiDictProxy
from yarl import URL

from api.app import create_app, create_runner
from api.keys import QUEUE, STORE
from common.models import CallStatus, Outcome, Reason, new_id, parse_id
from common.queue.base import Capacity, MessageQueue
from common.settings import Settings
from common.store.base import Claimed, ClaimRequest, Datastore, Settlement

ROUTE = {"path": "/hello", "image": "fn/hello:1", "type": "async"}
ROOMY = Capacity(slots=1000, sync_slots=0, async_slots=1000, free_mb=1 << 20, total_mb=1 << 20)


class Answer(NamedTuple):
    """A reply, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The message of an error, which must have the uniform shape."""
        error: dict[str, str] = self.json["error"]
        assert set(error) <= {"message", "code", "fields"}
        return error["message"]

    @property
    def headline(self) -> str:
        """The message without what it adds after a colon: what came, and what is wanted. Clients match on this part."""
        return self.message.partition(": ")[0]


class ServedApi:
    """One api process's application, in this process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.secret = ""  # what requests show that bring no word of their own
        self.app = create_app(settings)
        self._runner = create_runner(self.app)

    async def __aenter__(self) -> Self:
        try:
            await self._runner.setup()
        except BaseException:
            await self._runner.cleanup()
            raise
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self.http = aiohttp.ClientSession(
            f"http://127.0.0.1:{self.port}", timeout=aiohttp.ClientTimeout(total=30)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()
        await self.end()

    async def end(self) -> None:
        """End as a process does that was told to; a second time changes nothing."""
        await self._runner.cleanup()

    @property
    def store(self) -> Datastore:
        return self.app[STORE]

    @property
    def queue(self) -> MessageQueue:
        return self.app[QUEUE]

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        assert self._runner.server is not None
        return len(self._runner.server.connections)

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request; *path* goes out as it is written."""
        options.setdefault("allow_redirects", False)
        if self.secret:
            shown = {"Authorization": f"Bearer {self.secret}"}
            options["headers"] = {**shown, **options.get("headers", {})}
        if isinstance(options.get("data"), bytes):
            options["data"] = io.BytesIO(options["data"])
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self.http.request(method, url, **options) as reply:
            return Answer(reply.status, reply.headers, await reply.read())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: object) -> Answer:
        return await self.ask("POST", path, json=body)

    async def raw(self, request: bytes, *, with_body: bool = False) -> tuple[int, bytes]:
        """Send these very bytes; return the answer's status and head, or all until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(10):
                writer.write(request)
                head = await (reader.read() if with_body else reader.readuntil(b"\r\n\r\n"))
        finally:
            writer.close()
        return int(head.split()[1]), head

    async def create_route(self, app: str = "app", **fields: Any) -> str:
        """Create a route, async unless told otherwise; its invocation path is returned."""
        route = {**ROUTE, **fields}
        answer = await self.post(f"/v1/apps/{app}/routes", {"route": route})
        assert answer.status == 200, answer.body
        return f"/r/{app}{route['path']}"

    async def create_token(self, scope: str = "admin", app: str = "") -> str:
        """Create a token; its secret is returned."""
        answer = await self.post("/v1/tokens", {"name": f"{scope} {app}".strip(), "scope": scope, "app": app})
        assert answer.status == 200, answer.body
        secret: str = answer.json["token"]
        return secret

    async def change_route(self, at: str, method: str = "PATCH", **fields: Any) -> Answer:
        """Change the route of app "app" that the URL names by *at*; with PUT it may be a new one."""
        return await self.ask(method, f"/v1/apps/app/routes{at}", json={"route": fields})

    async def submit(self, path: str, payload: bytes = b"", **headers: str) -> str:
        """Submit a call, *headers* with ``_`` for ``-``; its id is returned."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.ask("POST", path, data=payload, headers=named)
        assert answer.status == 202, answer.body
        call_id: str = answer.json["call_id"]
        return call_id

    async def claim(self) -> list[Claimed]:
        """Take all that is ready, as a worker would."""
        incarnation = new_id()
        await self.store.register_worker(incarnation, "here", 1, 1)
        reservations = (await self.queue.reserve(ROOMY, incarnation)).reservations
        requests = [ClaimRequest(id=taken.id, token=taken.token) for taken in reservations]
        return await self.store.claim(requests, incarnation, 5)

    async def finish(
        self, call_id: str, result: bytes = b"", log: bytes = b"", *, well: bool = True, **fields: Any
    ) -> None:
        """Claim and settle the one call that is ready; *fields* are of its outcome."""
        (claimed,) = await self.claim()
        assert claimed.call.id == parse_id(call_id)
        outcome = replace(an_outcome(result, log, well=well), **fields)
        settlement = Settlement(id=claimed.call.id, token=claimed.token, outcome=outcome)
        assert await self.store.settle([settlement]) == {claimed.call.id}

    async def settle(self, claimed: Sequence[Claimed]) -> set[UUID]:
        """End these well."""
        outcome = an_outcome(b"", b"", well=True)
        return await self.store.settle(
            [Settlement(id=one.call.id, token=one.token, outcome=outcome) for one in claimed]
        )

    async def finish_all(self) -> None:
        """Ack everything that is ready. The store does not hear of it: a round of the reconciler may push it again."""
        reservations = (await self.queue.reserve(ROOMY, new_id())).reservations
        await self.queue.ack(reservations)

    async def run_all(self) -> None:
        """Claim, settle and ack everything that is ready."""
        incarnation = new_id()
        reservations = (await self.queue.reserve(ROOMY, incarnation)).reservations
        requests = [ClaimRequest(id=one.id, token=one.token) for one in reservations]
        claimed = await self.store.claim(requests, incarnation, 5)
        outcome = an_outcome(b"", b"", well=True)
        await self.store.settle(
            [Settlement(id=one.call.id, token=one.token, outcome=outcome) for one in claimed]
        )
        await self.queue.ack(reservations)

    async def rows(self, table: str = "calls") -> int:
        """How many rows a table has."""
        count: int = await self.store.get_database().fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
        return count


def an_outcome(result: bytes, log: bytes, *, well: bool) -> Outcome:
    now = datetime.now(UTC)
    return Outcome(
        status=CallStatus.SUCCESS if well else CallStatus.ERROR,
        reason=None if well else Reason.BAD_EXIT,
        detail="" if well else "exit_code",
        error="" if well else "container exit code 3",
        exit_code=0 if well else 3,
        result=result,
        log=log,
        started_at=now,
        completed_at=now,
    )
