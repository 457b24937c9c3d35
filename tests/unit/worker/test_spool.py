import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from common.models import CallStatus, Outcome, new_id
from common.settings import Settings
from common.store.base import Settlement
from tests.conftest import skip_or_fail
from worker.spool import Spool, has_outcomes

HERE = new_id()


def a_settlement(token: int = 1, result: bytes = b"\0out") -> Settlement:
    outcome = Outcome(status=CallStatus.SUCCESS, result=result, completed_at=datetime.now(UTC))
    return Settlement(id=new_id(), token=token, outcome=outcome)


class Store:
    """Takes settlements, or refuses those of a size."""

    def __init__(self, refused: bytes = b"never") -> None:
        self.settled: list[Settlement] = []
        self.refused = refused

    async def settle(self, settlements: list[Settlement]) -> set[object]:
        for settlement in settlements:
            if settlement.outcome.result == self.refused:
                raise ValueError("no value of the store")
        self.settled += settlements
        return {settlement.id for settlement in settlements}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(Settings(spool_dir=str(tmp_path / "spool")), HERE)


async def left(spool: Spool, store: Store) -> list[Settlement]:
    await spool.settle_left(store)  # type: ignore[arg-type]
    return store.settled


async def test_what_was_kept_is_brought_to_the_store_once(spool: Spool) -> None:
    settlements = [a_settlement(), a_settlement()]
    await spool.keep(settlements)
    await spool.keep(settlements)
    brought = await left(spool, Store())
    assert sorted(one.id for one in brought) == sorted(one.id for one in settlements)
    assert {one.outcome.result for one in brought} == {b"\0out"}
    assert await left(spool, Store()) == []
    assert await left(spool, Store()) == []


async def test_what_is_forgotten_is_gone(spool: Spool) -> None:
    settlements = [a_settlement(), a_settlement()]
    await spool.forget(settlements)  # never kept: no trouble
    await spool.keep(settlements)
    await spool.forget(settlements[:1])
    assert await left(spool, Store()) == settlements[1:]


async def test_bad_files_are_put_aside_and_hold_up_nothing(spool: Spool, tmp_path: Path) -> None:
    good, refused = a_settlement(), a_settlement(result=b"refused")
    await spool.keep([good, refused])
    (tmp_path / "spool" / str(HERE) / "0.outcome").write_bytes(b"half a file")
    assert await left(spool, Store(refused=b"refused")) == [good]
    assert not has_outcomes(Settings(spool_dir=str(tmp_path / "spool")))
    assert len(list((tmp_path / "spool").glob("*/*.bad"))) == 2


async def test_it_holds_no_more_than_it_may(tmp_path: Path) -> None:
    spool = Spool(Settings(spool_dir=str(tmp_path), spool_max_mb=1), HERE)
    small = a_settlement()
    await spool.keep([small, a_settlement(result=bytes(2**20))])
    assert await left(spool, Store()) == [small]


async def test_a_full_spool_is_said_once_and_so_is_that_there_is_room_again(tmp_path: Path) -> None:
    spool = Spool(Settings(spool_dir=str(tmp_path), spool_max_mb=1), HERE)
    large = a_settlement(result=bytes(2**20))
    with capture_logs() as logs:
        kept = await spool.keep([large, large])
        assert kept.number == 0
        assert "is full (1 MiB, MILLRACE_SPOOL_MAX_MB)" in (kept.cause or "")
        await spool.keep([large])
        assert [(entry["event"], entry["not_kept"]) for entry in logs] == [
            ("outcomes wait in memory alone: they are lost if this worker is killed", 2)
        ]
        await spool.keep([a_settlement()])
        await spool.keep([a_settlement()])
    assert [entry["event"] for entry in logs].count("outcomes can be spooled again") == 1


async def test_what_another_worker_removes_meanwhile_is_no_trouble(spool: Spool, tmp_path: Path) -> None:
    kept = a_settlement()
    (tmp_path / "spool" / str(HERE)).mkdir(parents=True)
    (tmp_path / "spool" / str(HERE) / "gone").symlink_to(
        tmp_path / "nothing"
    )  # listed, but not there when it is looked at
    await spool.keep([kept])
    assert await left(spool, Store()) == [kept]


async def test_only_its_owner_can_read_it(spool: Spool, tmp_path: Path) -> None:
    await spool.keep([a_settlement()])
    (file,) = (tmp_path / "spool" / str(HERE)).iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "full"
    directory.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory))
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        skip_or_fail("only root can mount a small disk")
    yield directory
    subprocess.run(("umount", str(directory)), check=True)


async def test_a_full_disk_costs_the_net_and_leaves_no_half_file(full_disk: Path) -> None:
    spool = Spool(Settings(spool_dir=str(full_disk)), HERE)
    small = a_settlement()
    await spool.keep([small, a_settlement(result=bytes(100_000)), a_settlement()])
    assert len(list(full_disk.glob("*/*"))) == 1
    assert await left(spool, Store()) == [small]


async def test_a_directory_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(Settings(spool_dir=str(tmp_path / "file" / "spool")), HERE)
    await spool.keep([a_settlement()])
    assert await left(spool, Store()) == []


async def test_outcomes_of_another_database_are_left_alone(tmp_path: Path) -> None:
    settings = Settings(spool_dir=str(tmp_path))
    await Spool(settings, new_id()).keep([a_settlement()])
    assert await left(Spool(settings, HERE), Store()) == []
    assert has_outcomes(settings)


async def test_half_a_file_of_a_process_that_is_gone_goes_too(spool: Spool, tmp_path: Path) -> None:
    await spool.keep([a_settlement()])
    half = tmp_path / "spool" / str(HERE) / "half.4194305"  # no process has such a number
    half.write_bytes(b"ha")
    await left(spool, Store())
    assert not half.exists()
