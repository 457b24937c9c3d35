"""Apps, beyond Fn v1's contract (test_fn_contract_apps.py): what else a deletion does, what else may be sent."""

from msgspec.structs import replace

from common.models import new_id
from common.queue.base import Extension
from tests.integration.api.served import ROOMY, ServedApi


async def test_a_change_may_repeat_the_name(api: ServedApi) -> None:
    await api.post("/v1/apps", {"app": {"name": "app"}})
    assert (await api.ask("PATCH", "/v1/apps/app", json={"app": {"name": "app"}})).status == 200


async def test_the_queue_forgets_the_calls_of_a_deleted_app(api: ServedApi) -> None:
    path = await api.create_route()
    waiting, running = (
        [await api.submit(path) for _ in range(2)],
        await api.submit(path, Millrace_Priority="2"),
    )
    await api.submit(path, Millrace_Delay="100")
    capacity = replace(ROOMY, slots=1, async_slots=1)
    (reservation,) = (await api.queue.reserve(capacity, new_id())).reservations
    assert str(reservation.id) == running
    assert (await api.ask("DELETE", "/v1/apps/app")).status == 200
    assert (await api.queue.depth()).calls == 1, waiting
    assert await api.queue.extend([reservation]) == [Extension.CANCEL_REQUESTED]
