"""What `millrace up` promises of the programs it keeps, on real ones."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from common.errors import FatalError
from deploy.cli.keeper import Keeper
from deploy.cli.logs import nothing
from deploy.cli.terminal import Terminal
from deploy.local.account import own_account
from deploy.local.child import Child, Program
from tests.polling import eventually

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


class Sleeper:
    """The smallest unit: a program that sleeps."""

    def __init__(self, name: str, directory: Path, ended: list[str], code: str = SLEEP) -> None:
        self.name = name
        self.log_path = directory / f"{name}.log"
        self.starts = 0
        self.refuses = False
        self.child: Child | None = None
        self._ended = ended
        command = (sys.executable, "-c", code)
        self._program = Program(name, command, self.log_path, own_account(), stop=((SIGTERM, 0.2),))

    async def start(self) -> None:
        self.starts += 1
        if self.refuses:
            raise FatalError("not now")
        self.log_path.write_text("")
        self.child = await Child.start(self._program)
        await eventually(lambda: "up" in self.log_path.read_text())

    def is_running(self) -> bool:
        return self.child is not None and self.child.exit_code is None

    async def stop(self) -> None:
        assert self.child
        await self.child.stop()
        self._ended.append(self.name)

    async def wait(self) -> str:
        assert self.child
        await self.child.wait()
        return self.child.describe_end()


@pytest.fixture
def sleeper(tmp_path: Path) -> Callable[..., Sleeper]:
    ended: list[str] = []
    return lambda name, code=SLEEP: Sleeper(name, tmp_path, ended, code)


async def test_what_dies_is_started_again_and_said(
    sleeper: Callable[..., Sleeper], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.cli.keeper.FIRST_PAUSE_S", 0.01)
    unit = sleeper("napper")
    async with asyncio.TaskGroup() as tasks:
        keeper = Keeper(tasks, Terminal())
        await keeper.start(unit, "", nothing)
        assert unit.child
        unit.refuses = True
        os.kill(unit.child.pid, SIGKILL)
        await eventually(lambda: unit.starts >= 3)
        unit.refuses = False
        await eventually(unit.is_running)
        await keeper.stop_all()
    output = capsys.readouterr().out
    assert "napper was ended by SIGKILL; starting it again" in output
    assert "napper did not start: not now" in output


async def test_units_are_stopped_in_reverse_order_and_stay_stopped(sleeper: Callable[..., Sleeper]) -> None:
    units = [sleeper("first"), sleeper("second"), sleeper("third")]
    async with asyncio.TaskGroup() as tasks:
        keeper = Keeper(tasks, Terminal())
        for unit in units:
            await keeper.start(unit, "", nothing)
        await keeper.stop_all()
    assert units[0]._ended == ["third", "second", "first"]
    assert [unit.starts for unit in units] == [1, 1, 1]


async def test_a_program_that_ignores_the_stop_signal_is_killed(sleeper: Callable[..., Sleeper]) -> None:
    unit = sleeper("stubborn", STUBBORN)
    await unit.start()
    await unit.stop()
    assert unit.child
    assert unit.child.exit_code == -SIGKILL
