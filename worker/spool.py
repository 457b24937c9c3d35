"""Spool: outcomes that the store could not take yet, on disk, so that the death of this process does not lose them.

One file for each outcome, written whole or not at all. Whoever starts with this directory brings what is left there to
the store: tokens decide there whether it still counts, so doing it twice, or in two processes, is harmless. It is a
net: a disk that is full or can't be written costs the net, never the outcome that is still in memory. It holds at most
``spool_max_mb``, and outcomes only.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from common.errors import UnavailableError
from common.settings import Settings
from common.store.base import Datastore, Settlement
from common.telemetry.logs import get_logger
from worker.unstorable import is_too_large, without_output

_SUFFIX = ".outcome"
_BAD_SUFFIX = ".bad"
_MB = 1024 * 1024

log = get_logger("spool")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Settlement)


class Kept(NamedTuple):
    """How many outcomes are on disk, and why the others are not; the cause is None if all are."""

    number: int
    cause: str | None


class Spool:
    """The directory. Safe to share with other workers of this machine; methods raise nothing but CancelledError."""

    def __init__(self, settings: Settings, installation: UUID) -> None:
        # Another database knows nothing of these calls: it would let their outcomes go.
        self._directory = _root(settings) / str(installation)
        self._max_bytes = settings.spool_max_mb * _MB
        self._trouble: str | None = None  # that was said last

    async def keep(self, settlements: Sequence[Settlement]) -> Kept:
        """Write them down, the first ones if not all can be. Says so once, and once when all could be again."""
        kept = await asyncio.to_thread(self._keep, settlements)
        if kept.cause is None:
            log.warning("outcomes are spooled until Postgres is back", kept=kept.number)
            if self._trouble is not None:
                log.warning("outcomes can be spooled again")
        elif kept.cause != self._trouble:
            log.error(
                "outcomes wait in memory alone: they are lost if this worker is killed",
                cause=kept.cause,
                kept=kept.number,
                not_kept=len(settlements) - kept.number,
                directory=str(self._directory),
            )
        self._trouble = kept.cause
        return kept

    async def forget(self, settlements: Sequence[Settlement]) -> None:
        """The store has them, or will never take them."""
        if settlements:
            await asyncio.to_thread(self._forget, settlements)

    async def put_aside(self, settlement: Settlement) -> None:
        """The store can't take it as it is: its file, if there is one, stays for somebody to look at."""
        await asyncio.to_thread(_put_aside, self._file(settlement))

    async def settle_left(self, store: Datastore) -> int:
        """Bring to *store* what an earlier process of this machine could not; return how many outcomes were recorded.

        A file that can't be read, or that the store refuses, is put aside for somebody to look at. Raises
        StoreUnavailableError; what was not brought stays then.
        """
        recorded = 0
        await asyncio.to_thread(self._clear)
        for file in await asyncio.to_thread(self._files):
            settlement = await asyncio.to_thread(_read, file)
            if settlement is None:
                continue
            try:
                recorded += len(await store.settle([settlement]))
            except UnavailableError as error:
                if not await is_too_large(store, settlement.outcome, error):
                    raise
                log.error("a spooled outcome is too large to be stored in time", call_id=settlement.id)  # noqa: TRY400
                bare = replace(settlement, outcome=without_output(settlement.outcome))
                recorded += len(await store.settle([bare]))
                await self.put_aside(settlement)
            except Exception:
                log.exception("a spooled outcome can't be recorded", call_id=settlement.id)
                await asyncio.to_thread(_put_aside, file)
            else:
                await self.forget([settlement])
        return recorded

    def _keep(self, settlements: Sequence[Settlement]) -> Kept:
        count = 0
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            left_bytes = self._max_bytes - sum(map(_size_bytes, self._directory.iterdir()))
            for settlement in settlements:
                data = _encoder.encode(settlement)
                left_bytes -= len(data)
                if left_bytes < 0:
                    return Kept(
                        count, f"the spool is full ({self._max_bytes // _MB} MiB, MILLRACE_SPOOL_MAX_MB)"
                    )
                _write(self._file(settlement), data)
                count += 1
        except OSError as error:
            return Kept(count, f"the spool can't be written ({error.strerror})")
        return Kept(count, None)

    def _forget(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            try:
                self._file(settlement).unlink(missing_ok=True)
            except OSError as error:
                log.warning("a spooled outcome is not removed", call_id=settlement.id, cause=str(error))

    def _clear(self) -> None:
        """Remove what a process that is gone had not written to its end."""
        for entry in self._directory.iterdir() if self._directory.is_dir() else ():
            pid = entry.suffix.removeprefix(".")
            if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
                entry.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob(f"*{_SUFFIX}")) if self._directory.is_dir() else []

    def _file(self, settlement: Settlement) -> Path:
        return self._directory / f"{settlement.id}-{settlement.token}{_SUFFIX}"


def has_outcomes(settings: Settings) -> bool:
    """Whether outcomes of any installation are left on this machine."""
    return any(_root(settings).glob(f"*/*{_SUFFIX}"))


def _root(settings: Settings) -> Path:
    return Path(settings.spool_dir or f"{settings.data_dir}/spool")


def _read(file: Path) -> Settlement | None:
    try:
        return _decoder.decode(file.read_bytes())
    except FileNotFoundError:
        return None  # another worker was faster
    except (OSError, msgspec.MsgspecError) as error:
        log.error("a spooled outcome can't be read", file=str(file), cause=str(error))  # noqa: TRY400
        _put_aside(file)
        return None


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0  # another worker has just removed it


def _write(file: Path, data: bytes) -> None:
    """All of it, on the disk, or none."""
    unfinished = file.with_suffix(f".{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.replace(file)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _put_aside(file: Path) -> None:
    try:
        file.replace(file.with_suffix(_BAD_SUFFIX))
    except OSError as error:
        log.warning("a spooled outcome is not put aside", file=str(file), cause=str(error))
