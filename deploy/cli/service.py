"""The api or the worker as a child of `millrace up`: started, known to be ready, stopped in order."""

import asyncio
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

import aiohttp

import deploy
from common.errors import FatalError
from deploy.cli.logs import warnings_of_ours
from deploy.local.account import Account, own_account
from deploy.local.child import Child, Program, trim_log

READY_S = 60.0
LOW_PORTS = 1024  # the kernel has them for root alone
POLL_S = 0.05
CODE = Path(deploy.__file__).parent.parent  # where the packages api and worker stand beside this one


class ServiceError(FatalError):
    """The api or the worker can't be started."""

    slug = "service_failed"
    default_message = "A service could not be started"


class Service:
    """`python -m MODULE` with *environ*, ready when it answers 200 at http://HOST:PORT/readyz.

    It runs under *account*, without one under ours.
    """

    def __init__(
        self,
        module: str,
        *,
        host: str,
        port: int,
        environ: Mapping[str, str],
        logs: Path,
        stop_s: float,
        account: Account | None = None,
    ) -> None:
        self.name = module
        self.host = reachable_host(host)
        self.port = port
        self.log_path = logs / f"{module}.log"
        self._program = Program(
            *(module, (sys.executable, "-m", module), self.log_path, account or own_account()),
            stop=((SIGTERM, stop_s),),
            cwd=CODE,
            env=dict(environ),
            reach=(CODE, Path(sys.prefix), Path(sys.base_prefix)),
            binds_low_ports=port < LOW_PORTS,
        )
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises ServiceError; then, and when cancelled, it does not run."""
        await self._await_port()
        trim_log(self.log_path)
        self._child = child = await Child.start(self._program)
        try:
            await self._await_ready(child)
        except BaseException:
            await asyncio.shield(self.stop())
            raise

    async def stop(self) -> None:
        """Stop it, bounded; harmless when it is stopped."""
        if self._child is not None:
            await self._child.stop()

    async def wait(self) -> str:
        """Wait until it has ended by itself; how. Safe to cancel."""
        if self._child is None:
            raise RuntimeError(f"{self.name} is not started")
        await self._child.wait()
        return self._child.describe_end()

    async def _await_ready(self, child: Child) -> None:
        answer = "no answer"
        try:
            async with asyncio.timeout(READY_S), aiohttp.ClientSession() as session:
                while child.exit_code is None:
                    answer = await _ask(session, f"{self.url}/readyz") or answer
                    if answer == "200":
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise _failure(child, f"{self.name} is not ready after {READY_S:.0f} s ({answer})") from None
        raise _failure(child, child.describe_end())

    async def _await_port(self) -> None:
        """Fail early and clearly; else another program's answer at that port could pass for ours.

        When ours has run before, what holds the port may be what is left of it, on its way out: then wait for that."""
        give_up_at_s = time.monotonic() + (self._program.stop[0][1] if self._child is not None else 0)
        while True:
            try:
                self.refuse_taken_port()
                return
            except ServiceError:
                if time.monotonic() >= give_up_at_s:
                    raise
            await asyncio.sleep(POLL_S)

    def refuse_taken_port(self) -> None:
        """Raise ServiceError, which names the setting, unless the port can be listened on now."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host.strip("[]"), self.port), family=family).close()
        except OSError as error:
            variable = "MILLRACE_PORT" if self.name == "api" else "MILLRACE_WORKER_PORT"
            raise ServiceError(
                f"the {self.name} can't listen on {self.host}:{self.port} ({error.strerror}): "
                f"stop what uses it, or set {variable} to another port"
            ) from error


def reachable_host(host: str) -> str:
    """Return the host to use in a URL for a server that listens on *host*."""
    if host in ("", "0.0.0.0"):  # noqa: S104  (compared, not bound)
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def _failure(child: Child, what: str) -> ServiceError:
    """Return the error for *what*, with what *child* last complained of, each complaint once."""
    complaints = dict.fromkeys(filter(None, map(warnings_of_ours, child.last_lines())))
    lines = "".join(f"\n    {line}" for line in complaints)
    return ServiceError(f"{what} (log: {child.program.log_path}){lines}")


async def _ask(session: aiohttp.ClientSession, url: str) -> str:
    """Return '200', or what was answered instead; empty without an answer."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
            return "200" if response.status == 200 else f"{response.status}: {(await response.text())[:300]}"
    except (aiohttp.ClientError, TimeoutError):
        return ""
