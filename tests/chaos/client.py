"""Clients as they should be: they ask again what got no answer, and look at their calls until they see an end.

What they did and saw goes into the history. A request that got no answer may have been accepted all the same; with the
same idempotency key, asking again is not a second call.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from uuid import uuid4

import aiohttp

from tests.chaos.cluster import APP
from tests.chaos.history import FINAL, Accepted, Answered, History, Refused, Seen

ASK_S = 20.0
RETRY_FIRST_S, RETRY_MAX_S = 0.05, 1.0
LOOK_FIRST_S, LOOK_MAX_S, LOOK_GROWTH = 0.2, 1.5, 1.4
GIVE_UP_S = 180.0
AWAY = (aiohttp.ClientError, TimeoutError)
_OF_OUTCOME = ("status", "reason", "detail", "exit_code", "attempt", "started_at", "completed_at")


class Client:
    """One client of several apis; it stays with one for as long as that answers."""

    def __init__(
        self, number: int, http: aiohttp.ClientSession, urls: Sequence[str], history: History
    ) -> None:
        self.number = number
        self._http = http
        self._urls: Iterator[str] = itertools.cycle(
            [*urls[number % len(urls) :], *urls[: number % len(urls)]]
        )
        self._url = next(self._urls)
        self._history = history
        self._accepted = 0

    async def submit(self, route: str, body: str, headers: Mapping[str, str] | None = None) -> str:
        """Ask until the call is accepted; its id. Raises AssertionError for an answer that no client should get."""
        sent = {"Idempotency-Key": str(uuid4()), **(headers or {})}
        began_s, wait_s = time.monotonic(), RETRY_FIRST_S
        for tries in itertools.count(1):
            asked_s = time.monotonic()
            why = await self._ask(route, body, sent)
            if not isinstance(why, int | str):
                call_id = str(why["call_id"])
                self._accept(call_id, tries, time.monotonic() - began_s)
                return call_id
            self._history.add(Refused(at=time.time(), why=str(why), took_s=time.monotonic() - asked_s))
            assert time.monotonic() - began_s < GIVE_UP_S, f"not accepted in {GIVE_UP_S} s: {why}"
            self._url = next(self._urls)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)
        raise AssertionError

    async def call(self, route: str, body: str) -> int | None:
        """One sync call, never repeated; the status of its answer, None if there was none."""
        try:
            async with self._post(route, body, {}) as reply:
                await reply.read()
                if call_id := reply.headers.get("Fn_call_id"):
                    self._history.add(Answered(at=time.time(), call_id=call_id, status=reply.status))
                return reply.status
        except AWAY:
            self._url = next(self._urls)
            return None

    async def follow(self, call_id: str) -> None:
        """Look at the call until it is final. Raises AssertionError if that takes GIVE_UP_S."""
        wait_s, began_s = LOOK_FIRST_S, time.monotonic()
        while True:
            await asyncio.sleep(wait_s)
            wait_s = min(LOOK_GROWTH * wait_s, LOOK_MAX_S)
            call = await self._look(call_id)
            if call is not None and call["status"] in FINAL:
                self._history.add(Seen(at=time.time(), call_id=call_id, outcome=outcome_of(call)))
                return
            assert time.monotonic() - began_s < GIVE_UP_S, f"{call_id} has no end: {call}"

    async def look_again(self) -> None:
        """See every call of the app once more: what was final must be as it was."""
        cursor = ""
        while True:
            query = {"per_page": "100", "cursor": cursor} if cursor else {"per_page": "100"}
            async with self._http.get(f"{self._url}/v1/apps/{APP}/calls", params=query) as reply:
                assert reply.status == 200, await reply.text()
                page = await reply.json()
            for call in page["calls"]:
                if call["status"] in FINAL:
                    self._history.add(Seen(at=time.time(), call_id=call["id"], outcome=outcome_of(call)))
            cursor = page["next_cursor"]
            if not cursor:
                return

    def _accept(self, call_id: str, tries: int, took_s: float) -> None:
        self._history.add(
            Accepted(
                at=time.time(),
                call_id=call_id,
                client=self.number,
                order=self._accepted,
                tries=tries,
                took_s=took_s,
            )
        )
        self._accepted += 1

    async def _ask(self, route: str, body: str, headers: Mapping[str, str]) -> dict[str, object] | int | str:
        """The answer of a 202; else its status, or what became of the connection."""
        try:
            async with self._post(route, body, headers) as reply:
                if reply.status == 202:
                    answer: dict[str, object] = await reply.json()
                    return answer
                assert reply.status == 503, f"{reply.status} {await reply.text()}"
                return reply.status
        except AWAY as error:
            return type(error).__name__

    def _post(
        self, route: str, body: str, headers: Mapping[str, str]
    ) -> "aiohttp.client._RequestContextManager":
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        return self._http.post(f"{self._url}/r/{APP}/{route}", data=body, headers=headers, timeout=timeout)

    async def _look(self, call_id: str) -> dict[str, object] | None:
        """The call as it is shown now; None if no api says so."""
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        try:
            async with self._http.get(f"{self._url}/v1/apps/{APP}/calls/{call_id}", timeout=timeout) as reply:
                if reply.status == 200:
                    shown: dict[str, object] = (await reply.json())["call"]
                    return shown
                assert reply.status == 503, f"an accepted call: {reply.status} {await reply.text()}"
        except AWAY:
            pass
        self._url = next(self._urls)
        return None


def outcome_of(call: Mapping[str, object]) -> str:
    """How a final call ended, and when, as one string."""
    return " ".join(str(call.get(name, "-")) for name in _OF_OUTCOME)
