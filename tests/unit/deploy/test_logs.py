import asyncio
import sys
from pathlib import Path

import pytest

from deploy.cli.logs import follow, warnings_of_ours
from deploy.local.account import own_account
from deploy.local.child import LOG_MAX_BYTES, Child, Program, trim_log
from tests.polling import eventually


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"level":"info","event":"call"}', ""),
        ('{"level":"warning","event":"disk is slow","process":"api","seconds":3}', "disk is slow seconds=3"),
        ('{"level":"error","event":"no engine","timestamp":"now"}', "no engine"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ("{not json", "{not json"),
    ],
)
def test_only_warnings_errors_and_what_is_no_log_line_are_shown(line: str, shown: str) -> None:
    assert warnings_of_ours(line) == shown


async def test_follow_shows_what_is_appended_after_it_began_also_over_a_trim(tmp_path: Path) -> None:
    log, shown = tmp_path / "x.log", list[str]()
    log.write_text("old\n")
    task = asyncio.create_task(follow(log, lambda line: line, shown.append))
    await asyncio.sleep(0)
    with log.open("a") as file:
        file.write("first\nsec")
    await eventually(lambda: shown == ["first"])
    with log.open("a") as file:
        file.write("ond\n")
    await eventually(lambda: shown == ["first", "second"])
    log.write_text("new\n")
    await eventually(lambda: shown == ["first", "second", "new"])
    task.cancel()


async def test_follow_shows_what_repeats_once(tmp_path: Path) -> None:
    log, shown = tmp_path / "x.log", list[str]()
    log.touch()
    task = asyncio.create_task(follow(log, lambda line: line, shown.append))
    await asyncio.sleep(0)
    for text in ("same\nsame\n", "same\nlast\n"):
        with log.open("a") as file:
            file.write(text)
        await eventually(lambda: bool(shown))
    await eventually(lambda: "last" in shown)
    assert shown == ["same", "last"]
    task.cancel()


async def test_follow_says_how_many_lines_it_left_out(tmp_path: Path) -> None:
    log, shown = tmp_path / "x.log", list[str]()
    log.touch()
    task = asyncio.create_task(follow(log, lambda line: line, shown.append))
    await asyncio.sleep(0)
    log.write_text("".join(f"{number}\n" for number in range(15)))
    await eventually(lambda: shown == [*map(str, range(10)), f"… and 5 more in {log}"])
    task.cancel()


def test_a_large_log_is_begun_anew_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * (LOG_MAX_BYTES + 1))
        trim_log(log)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "x.log.1").stat().st_size == LOG_MAX_BYTES + 1


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("kept")
    trim_log(log)
    assert log.read_text() == "kept"


async def test_the_last_lines_are_of_this_start_alone(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("of an earlier start\n")
    for code, lines in (("print('why')", ["why"]), ("", list[str]())):
        child = await Child.start(Program("x", (sys.executable, "-c", code), log, own_account()))
        await child.wait()
        assert child.last_lines() == lines
