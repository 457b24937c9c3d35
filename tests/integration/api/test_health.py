"""What the process says of itself."""

from api import VERSION
from tests.integration.api.served import ServedApi


async def test_small_endpoints_answer_as_in_fn(api: ServedApi) -> None:
    assert (await api.get("/version")).json == {"version": VERSION}
    assert (await api.get("/")).json["hello"] == "world!"
    assert (await api.get("/healthz")).json == {"status": "ok"}
    assert (await api.get("/readyz")).json == {
        "status": "ready",
        "servers": {"postgres": "ok", "redis": "ok"},
    }


async def test_the_depth_is_exact(api: ServedApi) -> None:
    path = await api.create_route()
    for priority in ("0", "2", "2"):
        await api.submit(path, Millrace_Priority=priority)
    await api.submit(path, Millrace_Delay="60")
    depth = (await api.get("/v1/queue")).json
    assert depth.pop("oldest_ready_ms") >= 0
    assert depth == {
        "name": api.settings.queue_name,
        "ready": {"0": 1, "1": 0, "2": 2},
        "ready_sync": 0,
        "delayed": 1,
        "due": 0,
        "leased": 0,
        "expired": 0,
        "given_up": 0,
        "dead": 0,
        "calls": 4,
        "is_paused": False,
        "conserved": True,
    }
    await api.claim()
    depth = (await api.get("/v1/queue")).json
    assert (depth["leased"], depth["ready"]["2"], depth["oldest_ready_ms"]) == (3, 0, None)


async def test_a_scrape_shows_depth_and_counts(api: ServedApi) -> None:
    path = await api.create_route()
    await api.submit(path, Millrace_Priority="1")
    await api.ask("POST", "/r/none/x")
    scrape = await api.get("/metrics")
    assert scrape.headers["Content-Type"].startswith("text/plain; version=")
    lines = scrape.body.decode().splitlines()
    queue = api.settings.queue_name
    assert f'millrace_queue_ready{{priority="1",queue="{queue}"}} 1.0' in lines
    assert f'millrace_queue_calls{{queue="{queue}",state="leased"}} 0.0' in lines
    assert f'millrace_dead_calls{{queue="{queue}"}} 0.0' in lines
    for server in ("postgres", "redis"):
        assert f'millrace_server_up{{server="{server}"}} 1.0' in lines
    assert not [line for line in lines if "_created" in line or "worker" in line or "NaN" in line]
    assert "millrace_calls_accepted_total 1.0" in lines
    assert 'millrace_calls_refused_total{code="app_not_found"} 1.0' in lines
