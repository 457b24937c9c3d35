"""What every part of a run needs: the plan, the one Redis, the clients, and somebody to tell how far it is."""

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.load.queue.driven import Servers
from tests.load.queue.environments import python_of
from tests.load.queue.field import Contestant
from tests.load.queue.plan import Plan
from tests.load.queue.programs import Clients, Program, ProgramError


@dataclass(frozen=True, slots=True)
class Stage:
    """``redis``: our own connection, quiet while anything is measured."""

    plan: Plan
    redis: Redis
    redis_url: str
    directory: Path
    say: Callable[[str], None]
    beanstalkd_socket: str = ""

    def servers(self, queue: str) -> Servers:
        """Where the clients of *queue* find everything."""
        return Servers(redis_url=self.redis_url, queue=queue, beanstalkd_socket=self.beanstalkd_socket)

    def clients(self, contestant: Contestant, queue: str) -> AbstractAsyncContextManager[Clients]:
        """The plan's number of client processes. Raises ProgramError without the contestant's environment."""
        python = python_of(contestant)
        if python is None:
            raise ProgramError("not installed: python -m tests.load peers")
        command = (python, "-m", "tests.load.queue.client", contestant.name)
        return Clients.open(command, self.servers(queue), self.plan.clients, self._log(contestant.name))

    async def program(self, module: str, *arguments: str) -> Program:
        """A single process of our own, by the name of its module. It is the caller's to stop."""
        return await Program.start(
            (sys.executable, "-m", f"tests.load.queue.{module}", *arguments), self._log(module)
        )

    async def info(self, section: str) -> dict[str, Any]:
        """Redis's INFO *section*."""
        info: dict[str, Any] = await self.redis.info(section)
        return info

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"
