"""GET /v1/calls/{id}: a call by its id alone, for those who may see it."""

from common.models import new_id
from tests.integration.api.served import ServedApi


async def test_a_call_is_found_by_its_id_by_those_who_may_see_it(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route("mine"))
    await api.create_route("other")
    found = await api.get(f"/v1/calls/{call_id}")
    assert (found.status, found.json["call"]["app_name"]) == (200, "mine")
    assert found.json == (await api.get(f"/v1/apps/mine/calls/{call_id}")).json
    admin = await api.create_token()
    allowed = {admin: 200}
    api.secret = admin
    for scope in ("app", "invoke"):
        allowed[await api.create_token(scope, "mine")] = 200
        allowed[await api.create_token(scope, "other")] = 404
    api.secret = ""
    unknown = (await _ask(api, f"/v1/calls/{new_id()}", admin))[1]
    for secret, status in allowed.items():
        answer = await _ask(api, f"/v1/calls/{call_id}", secret)
        assert answer[0] == status
        assert answer == (404, unknown) or status == 200  # as if it were not there
        assert (await _ask(api, "/v1/calls/dummy", secret)) == (404, unknown)
    assert (await api.get(f"/v1/calls/{call_id}")).status == 401


async def test_a_result_that_is_not_there_is_unknown_not_yet_or_none(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    url = f"/v1/apps/app/calls/{call_id}/result"
    assert (await api.get(url)).json["error"] == {
        "message": "Call has no result yet: its status is queued",
        "code": "call_result_not_yet",
    }
    unknown = await api.get(f"/v1/apps/app/calls/{new_id()}/result")
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "call_not_found")
    await api.ask("DELETE", f"/v1/apps/app/calls/{call_id}")
    none = await api.get(url)
    assert (none.status, none.json["error"]["code"]) == (404, "call_result_not_found")


async def _ask(api: ServedApi, path: str, secret: str) -> tuple[int, str]:
    answer = await api.get(path, headers={"Authorization": f"Bearer {secret}"})
    return answer.status, answer.message if answer.status >= 400 else ""
