"""What a function can do and see from inside its container, and that the engine was told exactly the allow-list."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from common.errors import EngineUnavailableError
from common.models import CallStatus, Detail
from tests.conftest import skip_or_fail
from tests.integration.worker.bench import Bench
from tests.load.engine import Engine
from tests.load.images import compiled
from tests.shell_image import SHELL_IMAGE, derived_image
from worker import disk
from worker.containers.docker import DockerDriver
from worker.containers.driver import LABEL_TOKEN
from worker.containers.hostconfig import NETWORK_NAME
from worker.containers.seccomp import profile
from worker.labels import token_of

MB = 1024 * 1024


async def printed(bench: Bench, script: str, **fields: object) -> str:
    """What a function prints that runs *script* to its end."""
    call_id = await bench.submit(script, **fields)  # type: ignore[arg-type]
    async with bench.worker():
        call = await bench.finished(call_id)
    assert call.status is CallStatus.SUCCESS, call
    return (await bench.result(call_id)).decode()


@pytest.fixture
def volumes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills with the names of the volumes of every container that this test's worker removes."""
    names: list[str] = []
    remove = DockerDriver.remove

    async def noting(driver: DockerDriver, name_or_id: str) -> None:
        (shown,) = json.loads(await docker("inspect", name_or_id))
        names.extend(mount["Name"] for mount in shown["Mounts"])
        await remove(driver, name_or_id)

    monkeypatch.setattr(DockerDriver, "remove", noting)
    return names


async def are_gone(volumes: list[str]) -> bool:
    """Whether the engine has none of *volumes* any more, of which there were some."""
    return bool(volumes) and not set(volumes) & set((await docker("volume", "ls", "--quiet")).split())


async def docker(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec("docker", *arguments, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_no_capability_and_no_new_privilege(bench: Bench) -> None:
    status = await printed(bench, "cat /proc/self/status")
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(values[name], 16) == 0
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"


async def test_root_is_read_only_and_tmp_is_a_sized_tmpfs(bench: Bench) -> None:
    script = (
        "echo x 2>/dev/null >/x && echo root is writable;"
        "echo x >/tmp/x && echo tmp is writable;"
        "busybox grep ' /tmp ' /proc/mounts"
    )
    lines = (await printed(bench, script)).splitlines()
    assert lines[0] == "tmp is writable"
    options = lines[1].split()[3].split(",")
    assert {"rw", "nosuid", "nodev", "noexec", "size=65536k"} <= set(options)


async def test_a_route_may_ask_for_a_writable_root(bench: Bench) -> None:
    assert await printed(bench, "echo x >/x && cat /x", writable_root=True) == "x\n"


async def test_limits_hold_and_the_machine_stays_unnamed(bench: Bench) -> None:
    script = (
        "echo $(busybox ulimit -n 2>/dev/null || ulimit -n) $(ulimit -c) $(busybox hostname);"
        "busybox ps | busybox wc -l; busybox ls /sys/class/net;"
        "(for i in $(busybox seq 400); do sleep 2 & done) 2>/dev/null || echo no more processes"
    )
    lines = (await printed(bench, script)).splitlines()
    assert lines[0] == "1024 0 function"
    assert int(lines[1]) < 10  # its own processes only
    assert lines[2] == "lo"
    assert lines[3] == "no more processes"


SYSCALLS = Path(__file__).with_name("syscalls.c")
NONE, EPERM, ENOSYS = 0, 1, 38


async def tried(bench: Bench, **settings: str) -> dict[str, int]:
    """What came of each thing that syscalls.c tries, in a function's container."""
    if shutil.which("gcc") is None:
        skip_or_fail("gcc is not installed: ./deploy/test installs it as root")
    async with Engine.open() as engine:
        image = await compiled(engine, "millrace-test/syscalls", SYSCALLS)
    call_id = await bench.submit("", image=image)
    async with bench.worker(**settings):
        await bench.finished(call_id)
    lines = (await bench.result(call_id)).decode().splitlines()
    return {name: int(came) for name, came in (line.split() for line in lines)}


async def test_io_uring_odd_sockets_and_the_kernels_tables_are_out_of_reach(bench: Bench) -> None:
    came = await tried(bench)
    refused = dict.fromkeys(("io_uring", "vsock", "alg", "namespace", "keys"), EPERM)
    works = dict.fromkeys(("inet", "inet6", "unix", "thread", "child"), NONE)
    masked = dict.fromkeys(("slabinfo", "kallsyms", "modules"), 0)
    assert came.pop("vsock_32_bit", EPERM) == EPERM
    assert came == refused | works | masked | {"clone3": ENOSYS}


async def test_the_engines_own_profile_is_a_setting(bench: Bench) -> None:
    came = await tried(bench, seccomp="engine")
    assert (came["namespace"], came["inet"], came["slabinfo"]) == (EPERM, NONE, 0)


async def test_the_engine_is_told_the_allow_list_and_nothing_else(bench: Bench) -> None:
    call_id = await bench.submit("sleep 30", memory=48)
    async with bench.worker(drain_s=0.1):
        container = await bench.running(call_id)
        (shown,) = json.loads(await docker("inspect", container.id))
    (bare,) = json.loads(await _inspect_bare())
    told, untouched = shown["HostConfig"], bare["HostConfig"]
    assert set(told.pop("MaskedPaths")) > set(untouched.pop("MaskedPaths"))
    expected = {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={profile()}"],
        "ReadonlyRootfs": True,
        "Mounts": [
            {
                "Type": "volume",
                "Target": "/tmp",  # noqa: S108
                "VolumeOptions": {
                    "NoCopy": True,
                    "DriverConfig": {
                        "Name": "local",
                        "Options": {
                            "type": "tmpfs",
                            "device": "tmpfs",
                            "o": "nosuid,nodev,noexec,size=64m,mode=1777",
                        },
                    },
                },
            }
        ],
        "Memory": 48 * MB,
        "MemorySwap": 48 * MB,
        "CpuPeriod": 100_000,
        "CpuQuota": 100_000,
        "PidsLimit": 256,
        "Ulimits": [
            {"Name": "nofile", "Hard": 1024, "Soft": 1024},
            {"Name": "core", "Hard": 0, "Soft": 0},
        ],
        "Init": True,
        "LogConfig": {"Type": "none", "Config": {}},
        "NetworkMode": "none",
        "IpcMode": "private",
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "OomScoreAdj": 500,
    }
    assert {name: told[name] for name in expected} == expected
    # Everything that the allow-list does not name is as in a container that was created with no options at all.
    rest = {name: value for name, value in told.items() if name not in expected}
    assert rest == {name: value for name, value in untouched.items() if name not in expected}
    assert shown["Image"].startswith("sha256:")
    assert shown["Config"]["Image"] == shown["Image"]
    assert shown["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert shown["Config"]["StopSignal"] == "SIGKILL"
    assert [(mount["Type"], mount["Destination"]) for mount in shown["Mounts"]] == [("volume", "/tmp")]  # noqa: S108
    assert {name for name in shown["Config"]["Labels"] if name.startswith("millrace")} == {
        "millrace",
        "millrace.installation",
        "millrace.call",
        "millrace.token",
        "millrace.app",
        "millrace.path",
        "millrace.hot",
        "millrace.writable",
    }


async def _inspect_bare() -> str:
    """A container that was created without any HostConfig, as the engine shows it; it is removed again."""
    connector = aiohttp.UnixConnector("/var/run/docker.sock")
    async with aiohttp.ClientSession("http://engine", connector=connector) as engine:
        wanted = {"Image": SHELL_IMAGE, "HostConfig": {}}
        async with engine.post("/containers/create", json=wanted) as reply:
            name = (await reply.json())["Id"]
    try:
        return await docker("inspect", name)
    finally:
        await docker("rm", "--force", name)


WITH_DATA = "busybox mkdir /data; echo seed >/data/seed; busybox chown -R 1234 /data"


async def test_volumes_of_an_image_keep_its_data_and_its_owner_and_are_read_only(
    bench: Bench, volumes: list[str]
) -> None:
    script = "cat /data/seed; busybox stat -c %u /data; busybox id -u; echo x >/data/x || echo read-only"
    async with derived_image("VOLUME /data", "USER 1234", script=WITH_DATA) as image:
        assert await printed(bench, script, image=image) == "seed\n1234\n1234\nread-only\n"
        script = "echo x >/proc/sys/kernel/hostname || echo read-only"
        assert await printed(bench, script, image=image) == "read-only\n"
    assert await are_gone(volumes)


@pytest.mark.parametrize(
    ("volumes_of_image", "script"),
    [
        (["/d/../e", "/tmp/nested", "rel", "/slash/", "//two"], ""),  # noqa: S108
        (["/v"], "busybox ln -s /nowhere/../e /v"),  # found by the runtime, but not by the kernel
    ],
)
async def test_no_spelling_of_a_volume_is_writable(
    bench: Bench, volumes: list[str], volumes_of_image: list[str], script: str
) -> None:
    writing = "for d in /d /e /v /rel /slash /two /tmp/nested /; do echo x 2>/dev/null >$d/x && echo $d; done"
    async with derived_image(f"VOLUME {json.dumps(volumes_of_image)}", script=script) as image:
        call_id = await bench.submit(f"({writing}) 2>/dev/null; true", image=image)
        async with bench.worker():
            call = await bench.finished(call_id)
    if script:
        assert (call.status, call.attempt) == (CallStatus.ERROR, 1)
        assert call.error == "Image declares a volume at or below /v, which is a symbolic link: not allowed"
    else:
        assert call.status is CallStatus.SUCCESS
        assert await bench.result(call_id) == b""
    assert await are_gone(volumes)


async def test_labels_of_an_image_never_stand_in_for_ours(bench: Bench) -> None:
    victim_id = await bench.submit("sleep 2; echo done", timeout=20)
    hostile = (
        f"LABEL millrace.call={victim_id} millrace.token=x millrace.hot=x millrace=x millrace.installation=x"
    )
    async with derived_image(hostile) as image, bench.worker(heartbeat_stale_s=0.3) as worker:
        hostile_id = await bench.submit("sleep 2; echo done", image=image, timeout=20)
        container = await bench.running(hostile_id)
        await worker.sweeper.sweep()
        (shown,) = json.loads(await docker("inspect", container.id))
        for call_id in (victim_id, hostile_id):
            assert (await bench.finished(call_id)).status is CallStatus.SUCCESS
    labels = {name: value for name, value in shown["Config"]["Labels"].items() if name.startswith("millrace")}
    assert labels["millrace.call"] == str(hostile_id)
    assert labels["millrace.hot"] == ""
    assert str(hostile_id) not in shown["Name"]


@pytest.mark.parametrize("text", ["x", "", "-1", "1e3", "²", "9" * 5000])
def test_a_token_that_cannot_be_read_is_none(text: str) -> None:
    assert token_of({LABEL_TOKEN: text}) is None


async def test_volumes_of_an_image_are_writable_where_the_root_is(bench: Bench, volumes: list[str]) -> None:
    async with derived_image("VOLUME /data", "USER 1234", script=WITH_DATA) as image:
        script = "echo x >>/data/seed; cat /data/seed"
        assert await printed(bench, script, image=image, writable_root=True) == "seed\nx\n"
        assert await printed(bench, script, image=image, writable_root=True) == "seed\nx\n"  # not shared
    assert await are_gone(volumes)


@pytest.mark.parametrize("folder", ["", "/data"])
async def test_who_writes_more_than_a_writable_root_may_hold_is_ended(bench: Bench, folder: str) -> None:
    script = f"busybox dd if=/dev/zero of={folder}/x bs=1M count=8; sleep 60"
    async with (
        derived_image("VOLUME /data", script=f"{WITH_DATA}; busybox chmod 777 /data") as image,
        bench.worker(writable_root_mb=4),
    ):
        call_id = await bench.submit(script, image=image, writable_root=True, timeout=60)
        call = await bench.finished(call_id)
    assert (call.status, call.detail) == (CallStatus.ERROR, Detail.DISK_EXCEEDED)
    assert "MILLRACE_WRITABLE_ROOT_MB" in call.error


async def test_a_writable_root_that_can_not_be_measured_is_ended_and_others_are_measured_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, ids = DockerDriver.written_bytes, list[str]()

    async def first_is_too_large_to_measure(driver: DockerDriver, container_id: str) -> int:
        if not ids:
            ids.append(container_id)
        if container_id == ids[0]:
            raise EngineUnavailableError
        return await measure(driver, container_id)

    monkeypatch.setattr(DockerDriver, "written_bytes", first_is_too_large_to_measure)
    monkeypatch.setattr(disk, "INTERVAL_S", 0.2)
    script = "busybox dd if=/dev/zero of=/x bs=1M count=8; sleep 60"
    async with bench.worker(writable_root_mb=4):
        calls = [await bench.submit(script, writable_root=True, timeout=60) for _ in range(2)]
        ended = [await bench.finished(call_id) for call_id in calls]
    assert [call.detail for call in ended] == [Detail.DISK_EXCEEDED] * 2


async def test_any_user_may_write_to_tmp_whatever_mode_the_images_has(
    bench: Bench, volumes: list[str]
) -> None:
    script = "echo x >/tmp/x && cat /tmp/x; busybox stat -c %a /tmp; busybox id -u"
    async with derived_image("USER 1234", script="busybox chmod 0755 /tmp") as image:
        assert await printed(bench, script, image=image) == "x\n1777\n1234\n"
        assert await printed(bench, script, image=image, writable_root=True) == "x\n1777\n1234\n"
    async with derived_image("VOLUME /tmp", "USER 1234") as image:
        assert await printed(bench, script, image=image) == "x\n1777\n1234\n"
    assert await are_gone(volumes)


async def test_what_fills_tmp_is_stopped_at_its_size(bench: Bench) -> None:
    script = "dd if=/dev/zero of=/tmp/x bs=1M 2>/dev/null; busybox stat -c %s /tmp/x"
    async with bench.worker(tmpfs_mb=4):
        call_id = await bench.submit(script)
        await bench.finished(call_id)
    assert await bench.result(call_id) == f"{4 * MB}\n".encode()


async def test_own_bridge_is_made_on_demand_and_keeps_containers_apart(bench: Bench) -> None:
    settings = replace(bench.settings, network="bridge")
    async with DockerDriver.open(settings) as driver:
        await asyncio.gather(driver.check(), driver.check())
    options = json.loads(await docker("network", "inspect", "--format", "{{json .Options}}", NETWORK_NAME))
    assert options == {"com.docker.network.bridge.enable_icc": "false"}
    call_id = await bench.submit("busybox ls /sys/class/net")
    async with bench.worker(network="bridge"):
        await bench.finished(call_id)
    assert await bench.result(call_id) == b"eth0\nlo\n"


async def test_a_second_network_of_the_name_goes_again(bench: Bench) -> None:
    settings = replace(bench.settings, network="bridge")
    async with DockerDriver.open(settings) as driver:
        await driver.check()
        await driver._docker.networks.create({"Name": NETWORK_NAME, "CheckDuplicate": False})
        await asyncio.gather(driver.check(), driver.check())
    assert len((await docker("network", "ls", "-q", "--filter", f"name=^{NETWORK_NAME}$")).split()) == 1


async def test_environment_of_a_call(bench: Bench) -> None:
    before = datetime.now(UTC)
    lines = (
        await printed(
            bench,
            "env",
            payload=b"12345",
            headers={"X-Two": ["a", "b"], "fn_call_id": ["forged"], "SCRIPT": ["exit 1"], "Host": ["h"]},
            url="http://h/r/bench/f?q=1",
            timeout=10,
        )
    ).splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    (call,) = await bench.store.get_calls()
    deadline = datetime.fromisoformat(variables.pop("FN_DEADLINE"))
    assert before + timedelta(seconds=9) < deadline < datetime.now(UTC) + timedelta(seconds=10)
    for name in ("SHLVL", "PWD", "PATH", "HOME", "SCRIPT", "HOSTNAME"):
        variables.pop(name, None)
    assert variables == {
        "FROM_APP": "app",
        "FN_FORMAT": "default",
        "FN_APP_NAME": "bench",
        "FN_PATH": "/f",
        "FN_MEMORY": "128",
        "FN_TYPE": "async",
        "FN_CALL_ID": str(call.id),
        "FN_METHOD": "POST",
        "FN_REQUEST_URL": "http://h/r/bench/f?q=1",
        "FN_PARAM_app": "bench",
        "FN_PARAM_route": "/f",
        "FN_ATTEMPT": "1",
        "FN_HEADER_X_Two": "a, b",
        "FN_HEADER_Script": "exit 1",
        "FN_HEADER_Content_Length": "5",
    }
