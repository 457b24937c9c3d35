"""What routes were does not outlive what needs it, and whoever still has it in mind stores calls that can run."""

import pytest

from api.keys import METRICS
from api.revisions import TURN_NAME, Revisions
from common.settings import Settings
from common.store import retention
from tests.integration.api.served import ServedApi


async def secrets(api: ServedApi) -> int:
    """How many rows hold the secret."""
    count: int = await api.store.get_database().fetchval(
        "SELECT count(*) FROM route_revisions WHERE content::text LIKE '%hunter2%'"
    )
    return count


async def test_the_config_of_a_deleted_app_can_be_read_nowhere(api: ServedApi) -> None:
    path = await api.create_route(config={"PASSWORD": "hunter2"})
    await api.submit(path)
    assert await secrets(api) == 1
    assert (await api.ask("DELETE", "/v1/apps/app")).status == 200
    assert await secrets(api) == 0


async def test_a_secret_that_was_replaced_goes_with_the_last_call_that_had_it(
    alone: None, api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "REVISION_RETIRED_S", 0)
    path = await api.create_route(config={"PASSWORD": "hunter2"})
    await api.submit(path)
    await api.change_route(path.removeprefix("/r/app"), config={"PASSWORD": "other"})
    await api.submit(path)
    await api.run_all()
    revisions = Revisions(api.store, api.app[METRICS])
    assert await revisions.run_round() >= 900
    assert await revisions.run_round() > 800, "it is not due"
    assert await secrets(api) == 1
    await api.store.get_database().execute("DELETE FROM calls")
    await api.store.get_database().execute("UPDATE turns SET next_at = now() WHERE name = $1", TURN_NAME)
    await revisions.run_round()
    assert await secrets(api) == 0
    assert await api.rows("route_revisions") == 1
    assert api.app[METRICS].pruned.labels("route_revision")._value.get() == 1


async def test_an_app_that_is_back_as_it_was_takes_calls_through_every_process(settings: Settings) -> None:
    """The other process has never heard that anything was gone."""
    async with ServedApi(settings) as api, ServedApi(settings) as other:
        path = await api.create_route(config={"PASSWORD": "hunter2"})
        await other.submit(path)
        assert (await api.ask("DELETE", "/v1/apps/app")).status == 200
        assert await api.create_route(config={"PASSWORD": "hunter2"}) == path
        await other.submit(path)
        (claimed,) = [one for one in await api.claim() if one.call.image]
        assert claimed.call.base_env["PASSWORD"] == "hunter2"
