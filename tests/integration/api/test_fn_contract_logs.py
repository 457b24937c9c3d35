"""Fn v1's contract of logs: found once the call has ended, as JSON or as text. Each test names the cases that it is.

Which test is which case stands in tests/architecture/test_fn_cases.py.
"""

from multidict import CIMultiDict

from tests.integration.api.served import ServedApi

CALLS = "/v1/apps/app/calls"


async def test_log_and_result_are_not_found_until_the_call_is_final(api: ServedApi) -> None:
    """A-23: so the first log that is found is whole."""
    call_id = await api.submit(await api.create_route())
    for state in ("queued", "running"):
        assert (await api.get(f"{CALLS}/{call_id}")).json["call"]["status"] == state
        not_yet = f"Call has no result yet: its status is {state}"
        for suffix, message in (("log", "Call log not found"), ("result", not_yet)):
            answer = await api.get(f"{CALLS}/{call_id}/{suffix}")
            assert answer.status == 404
            assert answer.message.startswith(message)
        await api.claim()


async def test_a_log_comes_in_the_form_that_is_accepted(api: ServedApi) -> None:
    """U-34: and byte for byte, where that is asked for."""
    call_id = await api.submit(await api.create_route())
    await api.finish(call_id, log=b"one\xff\n")
    log_url = f"{CALLS}/{call_id}/log"
    as_json = {
        "message": "Successfully loaded log",
        "log": {"call_id": call_id, "log": "one\ufffd\n", "app_name": "app"},
    }
    for accept in ("application/json", "application/json, text/plain", "*/*", "text/html, */*;q=0.1"):
        assert (await api.get(log_url, headers={"Accept": accept})).json == as_json
    assert (await api.get(log_url, skip_auto_headers=["Accept"])).json == as_json
    plain = await api.get(log_url, headers={"Accept": "text/plain"})
    assert (plain.body, plain.headers["Content-Type"]) == (b"one\xff\n", "text/plain; charset=utf-8")
    assert plain.headers["X-Content-Type-Options"] == "nosniff"
    in_two_lines = CIMultiDict([("Accept", "text/html"), ("Accept", "text/plain;q=0.5")])
    assert (await api.get(log_url, headers=in_two_lines)).body == b"one\xff\n"
    refused = await api.get(log_url, headers={"Accept": "text/html"})
    assert refused.status == 406
    assert refused.headline == "unable to respond within acceptable response content types"


async def test_a_call_that_ended_without_a_log_has_an_empty_one(api: ServedApi) -> None:
    """A-24."""
    call_id = await api.submit(await api.create_route())
    (claimed,) = await api.claim()
    await api.store.settle_dead([claimed.call.id])
    assert (await api.get(f"{CALLS}/{call_id}/log")).json["log"]["log"] == ""
    assert (await api.get(f"{CALLS}/{call_id}/result")).status == 404
