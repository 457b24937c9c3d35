"""What every embedded server has in common: start, stop, wait, a home, a process, an address."""

import asyncio
import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from deploy.local.child import Child, trim_log
from deploy.local.home import ServerHome, failure

READY_S = 60.0
POLL_S = 0.02


class LocalServer(ABC):
    """A server of our own in *directory*: `async with LocalPostgres(directory) as server: server.url`."""

    name: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self._home: ServerHome | None = None
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The server's process. Raises RuntimeError before `start`."""
        if self._child is None:
            raise RuntimeError(f"{self.name} is not started")
        return self._child

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def note(self) -> str:
        """What a person should know about how it runs; mostly empty."""
        return self._home.account.note if self._home is not None else ""

    async def start(self) -> None:
        """Start and wait, bounded, until it answers; `url` is set from here on. Also for a server that died.

        Raises LocalServerError; then, and when cancelled, nothing is left running or locked."""
        try:
            if self._home is None:
                self._home = await ServerHome.open(self.name, self.directory)
            trim_log(self._home.log_path)
            server_lock = await self._home.lock_server()
            try:
                self._child, self.url = await self._launch(self._home, server_lock)
            finally:
                os.close(server_lock)  # the server holds it now
            await self._await_ready(self._child)
        except BaseException:
            await asyncio.shield(self.stop())
            raise

    async def stop(self) -> None:
        """Stop it in order, so that nothing it promised to keep is lost; bounded; harmless when stopped."""
        if self._child is not None:
            await self._child.stop()
            self._child = None
        if self._home is not None:
            self._home.close()
            self._home = None

    async def wait(self) -> str:
        """Wait until the server has ended by itself; how. Safe to cancel."""
        await self.child.wait()
        return self.child.describe_end()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @abstractmethod
    async def _launch(self, home: ServerHome, server_lock: int) -> tuple[Child, str]:
        """Prepare the data, start the process with *server_lock*, and return it with its address."""

    @abstractmethod
    async def _answers(self) -> bool:
        """Ask the server once whether it serves; may take a second."""

    async def _await_ready(self, child: Child) -> None:
        """Poll until it answers. Raises LocalServerError when it ends first or takes longer than READY_S."""
        try:
            async with asyncio.timeout(READY_S):
                while not await self._answers():
                    if child.exit_code is not None:
                        raise failure(child, child.describe_end())
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise failure(child, f"{self.name} did not answer within {READY_S:.0f} s") from None
