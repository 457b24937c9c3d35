"""Client processes, seen from the benchmark: started, asked, stopped. What they do is theirs: client.py, waiter.py."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from tests.load.queue.client import Answer, Order
from tests.load.queue.driven import Servers

ROOT = Path(__file__).parents[3]
ANSWER_MAX_BYTES = 64 * 2**20
ORDER_S = 120.0  # an order may take this much longer than it measures
STOP_S = 10.0


class ProgramError(Exception):
    """A client process failed, or did not answer in time."""


class Program:
    """One process that answers each line with a line."""

    def __init__(self, process: Process, log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    @classmethod
    async def start(cls, command: Sequence[str | Path], log_path: Path) -> "Program":
        """Start *command* in the project's folder; what it says on stderr goes to *log_path*."""
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=log, cwd=ROOT, limit=ANSWER_MAX_BYTES
            )
        return cls(process, log_path)

    def tell(self, line: bytes) -> None:
        """Send a line. A process that is gone is noticed by the next `hear`."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(line + b"\n")

    async def hear(self, limit_s: float) -> bytes:
        """Its next line. Raises ProgramError when it ended or took longer than *limit_s*."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ProgramError(f"no answer within {limit_s:.0f} s") from None
        if not line:
            raise ProgramError(self._last_words())
        return line

    async def stop(self) -> None:
        """Close its input, which ends it; kill it if that does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def _last_words(self) -> str:
        lines = self._log_path.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "the client ended without a word"


class Clients:
    """The client processes of one contestant. They work at the same time, each with one request under way."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs

    @classmethod
    @asynccontextmanager
    async def open(
        cls, command: Sequence[str | Path], servers: Servers, count: int, log_path: Path
    ) -> AsyncIterator["Clients"]:
        """*count* clients, stopped at the end."""
        programs: list[Program] = []
        try:
            for _ in range(count):
                programs.append(await Program.start(command, log_path))
                programs[-1].tell(msgspec.json.encode(servers))
            yield cls(programs)
        finally:
            await asyncio.gather(*(program.stop() for program in programs))

    async def push(self, calls: int, batch: int) -> None:
        """Put *calls* calls, in equal shares."""
        share = -(-calls // len(self._programs))
        await self._ask(Order(do="push", calls=share, batch=batch))

    async def cycle(self, batch: int, seconds: float) -> list[Answer]:
        """Push, take and ack batches for *seconds*; what each client measured."""
        return await self._ask(Order(do="cycle", batch=batch, seconds=seconds))

    async def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        """The versions of *packages* in the clients' environment."""
        return (await self._ask(Order(do="versions", packages=packages)))[0].versions

    async def _ask(self, order: Order) -> list[Answer]:
        for program in self._programs:
            program.tell(msgspec.json.encode(order))
        lines = await asyncio.gather(*(program.hear(ORDER_S + order.seconds) for program in self._programs))
        answers = [msgspec.json.decode(line, type=Answer) for line in lines]
        for answer in answers:
            if answer.error:
                raise ProgramError(answer.error)
        return answers
