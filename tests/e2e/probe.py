"""A route of the probe function (tests/images/probe), and what its callers get: for the tests of formats and hot calls.

Built on a System; adds only what sync calls need. What the probe shall do is said in the query of each call.
"""

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from multidict import CIMultiDictProxy

from tests.e2e.system import FINAL, Json, System, containers
from tests.polling import eventually

APP = "e2e"
CONFIG = {"APP_VAR": "of the route"}


class Answer(NamedTuple):
    """What a caller got, and how long it took."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    took_s: float

    @property
    def call_id(self) -> str:
        return self.headers["Fn_call_id"]

    @property
    def message(self) -> str:
        """The message of an error body."""
        return str(json.loads(self.body)["error"]["message"])


class Probe(NamedTuple):
    """A fresh route and its one function."""

    system: System
    path: str

    @classmethod
    async def create(cls, system: System, image: str, wire_format: str, **fields: Any) -> "Probe":
        """Sync unless *fields* say otherwise."""
        path = f"/{secrets.token_hex(6)}"
        route = {
            "path": path,
            "image": image,
            "format": wire_format,
            "type": "sync",
            "config": CONFIG,
            "memory": 64,
            "timeout": 30,
            "idle_timeout": 20,
            **fields,
        }
        async with system._http.post(f"/v1/apps/{APP}/routes", json={"route": route}) as reply:
            assert reply.status == 200, await reply.text()
        return cls(system, path)

    async def call(
        self,
        body: bytes = b"",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        **wishes: object,
    ) -> Answer:
        """Call it; *wishes* are the probe's, a list for what may be repeated."""
        url = f"/r/{APP}{self.path}?{urlencode(wishes, doseq=True)}"
        begun_s = time.monotonic()
        async with self.system._http.request(method, url, data=body, headers=headers) as reply:
            content = await reply.read()
            return Answer(reply.status, reply.headers, content, time.monotonic() - begun_s)

    async def report(self, **options: Any) -> Json:
        """What the function was given, and who it is: ``container``, ``served``. Its container is idle again."""
        answer = await self.call(**options, report=1)
        assert answer.status == 200, answer.body
        report: Json = json.loads(answer.body)
        await self.record(answer.call_id)
        report["call_id"] = answer.call_id
        report["named"] = named(report["headers"])
        return report

    async def record(self, call_id: str, timeout_s: float = 3) -> Json:
        """Return the final record of a sync call, which is stored after the answer.

        Its container is idle then: the next call finds it. One that comes earlier may make the pool start another."""

        async def found() -> Json | None:
            async with self.system._http.get(f"/v1/apps/{APP}/calls/{call_id}") as reply:
                if reply.status == 404:
                    return None
                call: Json = (await reply.json())["call"]
            return call if call["status"] in FINAL else None

        call = await eventually(found, timeout_s, interval_s=0.05)
        assert call is not None
        return call

    async def records(self) -> list[Json]:
        """All stored calls of the route, newest first."""
        async with self.system._http.get(f"/v1/apps/{APP}/calls", params={"path": self.path}) as reply:
            assert reply.status == 200
            return (await reply.json())["calls"]  # type: ignore[no-any-return]

    async def containers(self) -> list[str]:
        """The ids of the route's containers that run."""
        return await containers(f"millrace.path={self.path}", running=True)

    async def has_containers(self, count: int, timeout_s: float = 15) -> None:
        """Wait until exactly *count* of them run."""

        async def is_so() -> bool:
            return len(await self.containers()) == count

        await eventually(is_so, timeout_s, interval_s=0.1)


def named(headers: list[list[str]]) -> dict[str, list[str]]:
    """Header values by lower-case name, with ``_`` as ``-``: as a careless function may look them up."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower().replace("_", "-"), []).append(value)
    return found
