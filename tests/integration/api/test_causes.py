"""What an engine or a registry said: shown to admins, and to this machine while there are no tokens."""

import asyncio

import pytest
from msgspec.structs import replace

from common.models import CallStatus, Detail, Outcome, Reason, new_id, parse_id
from common.store.base import ClaimRequest, Settlement
from tests.integration.api.served import ServedApi
from tests.integration.api.stand_in import StandIn, ended

SAID = "10.0.0.7 answered"
PULLS = (
    Detail.IMAGE_NOT_FOUND,
    Detail.PULL_DENIED,
    Detail.IMAGE_NOT_ALLOWED,
    Detail.REGISTRY_UNKNOWN,
    Detail.REGISTRY_UNREACHABLE,
    Detail.REGISTRY_TIMEOUT,
    Detail.PULL_FAILED,
)
SHOWN = dict.fromkeys(PULLS, "pull_failed") | {
    Detail.START_FAILED: "start_failed",
    Detail.START_REFUSED: "start_refused",
}


def failed(detail: Detail) -> Outcome:
    return replace(ended(CallStatus.ERROR), reason=Reason.KILLED, detail=detail, error=f"{detail}: {SAID}")


@pytest.mark.parametrize("detail", SHOWN)
async def test_why_a_call_could_not_start_is_for_admins(api: ServedApi, detail: Detail) -> None:
    call_id = await api.submit(await api.create_route())
    found, incarnation, at = parse_id(call_id), new_id(), f"/v1/apps/app/calls/{call_id}"
    assert found is not None
    request = ClaimRequest(id=found, token=1)
    await api.store.claim([request], incarnation, 5)
    await api.store.release([request], give_back_attempt=False, failed=failed(detail))
    waiting = (await api.get(at)).json["call"]
    assert (waiting["last_detail"], waiting["last_error"]) == (detail, f"{detail}: {SAID}")

    admin = api.secret = await api.create_token()
    secrets = [await api.create_token(scope, "app") for scope in ("app", "invoke")]

    async def check(*paths: str) -> None:
        for secret in secrets:
            api.secret = secret
            for path in paths:
                answer = await api.get(path)
                assert answer.status == 200
                assert SAID.encode() not in answer.body
                assert f'"{SHOWN[detail]}"'.encode() in answer.body
                assert detail == SHOWN[detail] or f'"{detail}"'.encode() not in answer.body
        api.secret = admin
        for path in paths:
            assert SAID.encode() in (await api.get(path)).body

    await check(at, f"/v1/calls/{call_id}")
    again = ClaimRequest(id=found, token=2)
    await api.store.claim([again], incarnation, 5)
    await api.store.settle([Settlement(id=found, token=2, outcome=failed(detail))])
    await check(at, f"/v1/calls/{call_id}", f"{at}/events", f"{at}?wait=1")
    assert "last_error" not in (await api.get(at)).json["call"]


async def test_the_last_error_of_a_call_that_was_given_up_is_in_its_error_for_admins(api: ServedApi) -> None:
    call_id = await api.submit(await api.create_route())
    found, incarnation = parse_id(call_id), new_id()
    assert found is not None
    request = ClaimRequest(id=found, token=1)
    await api.store.claim([request], incarnation, 1)
    await api.store.release([request], give_back_attempt=False, failed=failed(Detail.START_FAILED))
    await api.store.claim([ClaimRequest(id=found, token=2)], incarnation, 1)
    at = f"/v1/apps/app/calls/{call_id}"
    given_up = "Given up after 1 attempts"
    assert (await api.get(at)).json["call"]["error"] == f"{given_up}. The last one: start_failed: {SAID}"
    api.secret = await api.create_token()
    api.secret = await api.create_token("app", "app")
    assert (await api.get(at)).json["call"]["error"] == given_up


async def test_the_answer_of_a_sync_call_says_no_more_than_its_record(api: ServedApi) -> None:
    path = await api.create_route(type="sync", public=True)
    api.secret = await api.create_token()
    worker = StandIn(api.queue)
    for secret, code, is_said in ((api.secret, "registry_unreachable", True), ("", "pull_failed", False)):
        api.secret = secret
        answering = asyncio.create_task(api.post(path, {}))
        await worker.reply(await worker.take(), failed(Detail.REGISTRY_UNREACHABLE))
        answer = await answering
        assert (answer.status, answer.json["error"]["code"]) == (502, code)
        assert (SAID in answer.message) is is_said
