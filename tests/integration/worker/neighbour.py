"""Another machine, as a function's container sees it: a network namespace that is reached through this machine."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

PORT = 8099
_HERE, _THERE = "198.51.100.1", "198.51.100.2"  # TEST-NET-2: the link between both


@asynccontextmanager
async def neighbour(addresses: Sequence[str]) -> AsyncIterator[None]:
    """A namespace that answers on PORT of each of *addresses*, which this machine routes to it. Needs root."""
    name = f"mr{secrets.token_hex(3)}"
    outer, inner = f"{name}o", f"{name}i"
    await ip("netns", "add", name)
    server: asyncio.subprocess.Process | None = None
    try:
        await ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        await ip("address", "add", f"{_HERE}/30", "dev", outer)
        await ip("link", "set", outer, "up")
        await ip("-n", name, "address", "add", f"{_THERE}/30", "dev", inner)
        for address in addresses:
            await ip("-n", name, "address", "add", f"{address}/32", "dev", inner)
        await ip("-n", name, "link", "set", inner, "up")
        await ip("-n", name, "route", "add", "default", "via", _HERE)
        for address in addresses:
            await ip("route", "add", f"{address}/32", "via", _THERE, "dev", outer)
        server = await asyncio.create_subprocess_exec(
            *(
                "ip",
                "netns",
                "exec",
                name,
                "busybox",
                "nc",
                "-ll",
                "-p",
                str(PORT),
                "-e",
                "/bin/echo",
                "hello",
            )
        )
        yield
    finally:
        if server is not None:
            with suppress(ProcessLookupError):
                server.kill()
            await server.wait()
        await ip("netns", "delete", name)  # the links and routes go with it


async def ip(*arguments: str) -> None:
    """Run iproute2. Raises AssertionError with its words if it fails."""
    process = await asyncio.create_subprocess_exec(
        "ip", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(10):
        output, _ = await process.communicate()
    assert process.returncode == 0, f"ip {' '.join(arguments)}: {output.decode()}"
