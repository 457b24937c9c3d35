"""A part of the worker that fails begins again; it is ended by a cancel alone."""

import asyncio

import asyncpg
import pytest

from worker import chores
from worker.chores import keep_running


class Failing:
    """Fails twice, and then goes on."""

    def __init__(self) -> None:
        self.runs = 0
        self.goes_on = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        if self.runs < 3:
            raise asyncpg.InvalidSQLStatementNameError("prepared statement does not exist")
        self.goes_on.set()
        await asyncio.Event().wait()


async def test_a_chore_that_fails_begins_again_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []

    class Log:
        def exception(self, _text: str, **more: str) -> None:
            said.append(more)

    monkeypatch.setattr(chores, "log", Log())
    monkeypatch.setattr("worker.backoff.Backoff.next_s", lambda _: 0.0)
    chore = Failing()
    keeping = asyncio.create_task(keep_running(chore))
    async with asyncio.timeout(5):
        await chore.goes_on.wait()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    cause = "InvalidSQLStatementNameError: prepared statement does not exist"
    assert said == [{"chore": "Failing", "cause": cause}] * 2
