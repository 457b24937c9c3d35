"""What a function reaches over its network: the internet, or nothing; never this machine or link-local addresses."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator

import pytest

from common.models import CallStatus
from tests.integration.worker.bench import Bench
from tests.integration.worker.neighbour import PORT, neighbour
from tests.polling import eventually
from worker.containers import firewall

INTERNET, METADATA, PRIVATE = "203.0.113.7", "169.254.169.254", "10.231.7.7"
GATEWAY = "$(busybox ip route | busybox sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it sets firewall rules")


@pytest.fixture
async def host_port(docker: str) -> AsyncIterator[int]:
    """A port on which this machine answers whoever reaches it."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def reached(bench: Bench, host_port: int, **settings: object) -> set[str]:
    """Which of the targets answer a function. Each is tried for a second."""
    targets = {"host": (GATEWAY, host_port)} | {
        name: (address, PORT)
        for name, address in (("internet", INTERNET), ("metadata", METADATA), ("private", PRIVATE))
    }
    lines = (
        f'[ "$(busybox nc -w 1 {address} {port} < /dev/null)" = hello ] && echo {name}'
        for name, (address, port) in targets.items()
    )
    call_id = await bench.submit("\n".join((*lines, "true")))
    async with bench.worker(network="bridge", **settings):
        call = await bench.finished(call_id)
    assert call.status is CallStatus.SUCCESS, call
    return set((await bench.result(call_id)).decode().split())


async def test_a_function_reaches_the_internet_but_not_its_host_nor_link_local_addresses(
    bench: Bench, host_port: int
) -> None:
    async with neighbour((INTERNET, METADATA, PRIVATE)):
        assert await reached(bench, host_port) == {"internet"}
        assert await reached(bench, host_port, network_private=True) == {"internet", "private"}
        await firewall._nft("delete", "table", "inet", firewall.TABLE)
        # Without the rules all of them answer: what the rules keep away is really there.
        everything = {"internet", "private", "metadata", "host"}
        assert await reached(bench, host_port, network_firewall="off") == everything


async def test_rules_that_are_removed_or_changed_come_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firewall, "RECHECK_S", 0.1)
    async with bench.worker(network="bridge") as worker, bench.worker(network="bridge"):
        rules = worker.firewall
        assert rules is not None
        await eventually(lambda: rules.problem == "")
        before = await firewall._listing()
        assert "169.254.0.0/16" in before

        async def are_back() -> bool:
            return await firewall._listing() == before

        for damage in ("delete table inet millrace", "flush chain inet millrace from_functions"):
            await firewall._nft(*damage.split())
            await eventually(are_back)


async def test_a_worker_that_may_not_set_rules_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_arguments, **_options: None)
    async with bench.worker(network="bridge", heartbeat_s=0.05):

        async def is_said() -> bool:
            (shown,) = [one for one in await bench.store.get_workers(10, 0) if one.state == "live"]
            return shown.network == "open" and "nft is not installed" in shown.network_problem

        await eventually(is_said)
    async with bench.worker(network="none", heartbeat_s=0.05):
        assert [one.network for one in await bench.store.get_workers(10, 0)] == ["none"]


async def test_a_worker_that_must_set_rules_and_may_not_takes_no_calls(bench: Bench) -> None:
    settings = 'Settings(network="bridge", network_firewall="required")'
    program = f"""if True:
        import asyncio
        from common.errors import EngineUnavailableError
        from common.settings import Settings
        from worker.containers.docker import DockerDriver
        from worker.containers.firewall import Firewall

        async def main():
            async with DockerDriver.open({settings}, Firewall(allow_private=False, is_required=True)) as driver:
                try:
                    await driver.check()
                except EngineUnavailableError as error:
                    print(error)

        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin", sys.executable, "-c", program),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert output.decode().splitlines()[-1] == (
        "MILLRACE_NETWORK_FIREWALL=required, and no firewall rules can be set: "
        "nft needs the right to change the network (root, or CAP_NET_ADMIN)"
    )


@pytest.mark.parametrize(
    ("setting", "asked", "interfaces"),
    [
        ("bridge", "", "eth0 lo"),
        ("bridge", "none", "lo"),
        ("optional", "", "lo"),
        ("optional", "internet", "eth0 lo"),
        ("none", "internet", None),
    ],
)
async def test_a_route_chooses_its_network_as_far_as_the_operator_lets_it(
    bench: Bench, setting: str, asked: str, interfaces: str | None
) -> None:
    call_id = await bench.submit("echo $(busybox ls /sys/class/net)", network=asked)
    async with bench.worker(network=setting):
        call = await bench.finished(call_id)
    if interfaces is None:
        assert (call.status, call.detail) == (CallStatus.ERROR, "network_not_allowed")
        assert call.attempt == 1
        assert "MILLRACE_NETWORK=none" in call.error
    else:
        assert (await bench.result(call_id)).decode().split() == interfaces.split()
