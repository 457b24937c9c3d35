"""The benchmarks of sync calls run and their figures make sense; how fast anything is, is not for a test to say."""

import shutil
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.conftest import skip_or_fail
from tests.e2e.system import free_port
from tests.load.cold import bench as cold
from tests.load.cold.plan import Plan as ColdPlan
from tests.load.cold.report import markdown as cold_markdown
from tests.load.engine import Engine
from tests.load.spread import Spread
from tests.load.sync import bench
from tests.load.sync.contestant import SyncLoadError
from tests.load.sync.figures import Figures, Line
from tests.load.sync.plan import Plan
from tests.load.sync.report import markdown
from tests.load.sync.targets import judge
from tests.load.sync.wrk import post


@pytest.fixture
def wrk() -> None:
    if shutil.which("wrk") is None:
        skip_or_fail("wrk is not installed: apt-get install wrk")


@pytest.fixture
def gcc() -> None:
    if shutil.which("gcc") is None:
        skip_or_fail("gcc is not installed: apt-get install gcc libc6-dev")


@pytest.fixture
def busybox() -> None:
    if shutil.which("busybox") is None:
        skip_or_fail("busybox-static is not installed: ./deploy/test installs it as root")


@pytest.fixture
async def nothing_left(docker: str) -> AsyncIterator[None]:
    """No container may be there afterwards that was not before."""
    async with Engine.open() as engine:
        before = set(await engine.listing())
        yield
        assert set(await engine.listing()) <= before


@pytest.mark.timeout(180)  # servers and processes start, one after the other
async def test_hot_calls_are_measured_beside_a_bare_client_and_the_api_alone(
    nothing_left: None, wrk: None, gcc: None
) -> None:
    said: list[str] = []
    report = await bench.run(Plan(measure_s=1, rounds=1), said.append)
    assert said
    assert [line.name for line in report.lines] == ["bare-1", "bare-4", "sync", "ceiling"]
    for line in report.lines:
        assert line.figures.per_s > 0
        assert 0 < line.figures.latency.p50_ms <= line.figures.latency.p99_ms
    (sync,) = (line for line in report.lines if line.name == "sync")
    assert {"api", "worker", "Redis", "dockerd", "functions", "client"} <= set(sync.figures.cpu_us)
    assert sync.figures.cpu_us["worker"] > 0
    assert all(target.is_reached is not None for target in report.targets)
    assert "| Millrace, hot sync calls | 4 |" in markdown(report)


@pytest.mark.timeout(180)
async def test_cold_calls_are_measured_beside_a_bare_client(nothing_left: None, busybox: None) -> None:
    said: list[str] = []
    report = await cold.run(ColdPlan(calls=2, at_once=(1, 2), networks=("none",)), said.append)
    assert said
    assert [(line.network, line.at_once, line.calls) for line in report.lines] == [
        ("none", 1, 2),
        ("none", 2, 2),
    ]
    for line in report.lines:
        assert line.answered.p50_ms < line.whole.p50_ms
        assert all(ms > 0 for ms in (line.sync.p50_ms, line.gone.p50_ms, *line.steps.values()))
    (target,) = report.targets
    assert target.is_reached is not None
    assert "| none, 2 at a time |" in cold_markdown(report)


@pytest.mark.parametrize(("status", "body"), [(200, "not the body"), (502, "bad gateway")])
async def test_a_wrong_answer_ends_the_measurement(wrk: None, status: int, body: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        with pytest.raises(SyncLoadError, match=f"{status} {body}"):
            await post(f"http://127.0.0.1:{port}/", 2, 1)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("sync_per_s", "ceiling_per_s", "is_reached"),
    [
        (5_000, 9_000, True),  # half of what the bare client reaches
        (4_000, 4_000, True),  # less, but all that the api can answer
        (4_000, 9_000, False),
    ],
)
def test_the_rate_is_judged_by_the_lower_of_two_bounds(
    sync_per_s: float, ceiling_per_s: float, *, is_reached: bool
) -> None:
    lines = [
        _line("bare-4", 10_000, p50_ms=0.4),
        _line("sync", sync_per_s, p50_ms=3.3),
        _line("ceiling", ceiling_per_s, p50_ms=0.5),
    ]
    assert [target.is_reached for target in judge(lines)] == [is_reached, True]


def test_what_was_not_measured_is_not_judged() -> None:
    assert [target.is_reached for target in judge([_line("bare-4", 10_000, p50_ms=0.4)])] == [None, None]


def _line(name: str, per_s: float, *, p50_ms: float) -> Line:
    latency = Spread(p50_ms=p50_ms, p90_ms=p50_ms, p99_ms=p50_ms)
    figures = Figures(per_s=per_s, latency=latency, cpu_us={}, busy_us=100)
    return Line(name=name, title=name, connections=4, figures=figures, rounds=[per_s])
