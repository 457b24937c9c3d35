import pytest

from common import errors
from common.models import (
    TRANSITIONS,
    Call,
    CallStatus,
    Reason,
    check_reason,
    check_transition,
    new_id,
    parse_id,
)

FINAL = {CallStatus.SUCCESS, CallStatus.ERROR, CallStatus.CANCELLED}


def test_exactly_three_states_are_final() -> None:
    assert {status for status in CallStatus if status.is_final} == FINAL
    assert set(TRANSITIONS) == set(CallStatus)


@pytest.mark.parametrize("old", CallStatus)
@pytest.mark.parametrize("new", CallStatus)
def test_only_transitions_of_the_table_pass(old: CallStatus, new: CallStatus) -> None:
    if new in TRANSITIONS[old] or new == old:
        check_transition(old, new)
    else:
        with pytest.raises(errors.DatastoreCannotUpdateCallError):
            check_transition(old, new)


def test_no_final_state_is_ever_left_and_success_needs_a_run() -> None:
    for status in FINAL:
        assert not TRANSITIONS[status]
    assert [old for old, news in TRANSITIONS.items() if CallStatus.SUCCESS in news] == [CallStatus.RUNNING]


def test_reasons_go_with_their_status() -> None:
    for reason in (Reason.TIMEOUT, Reason.KILLED, Reason.BAD_EXIT):
        check_reason(CallStatus.ERROR, reason)
    check_reason(CallStatus.CANCELLED, Reason.CLIENT_REQUEST)
    check_reason(CallStatus.SUCCESS, None)
    for status, reason in [(CallStatus.SUCCESS, Reason.KILLED), (CallStatus.ERROR, Reason.CLIENT_REQUEST)]:
        with pytest.raises(errors.DatastoreCannotUpdateCallError):
            check_reason(status, reason)


@pytest.mark.parametrize("priority", [-1, 3])
def test_priority_has_three_levels(priority: int) -> None:
    with pytest.raises(errors.InvalidPriorityError):
        Call(id=new_id(), priority=priority).validate()


@pytest.mark.parametrize("delay", [-1, 30 * 24 * 3600 + 1])
def test_delay_is_at_most_thirty_days(delay: int) -> None:
    with pytest.raises(errors.InvalidDelayError):
        Call(id=new_id(), delay=delay).validate()


def test_ids_sort_by_time_and_survive_their_spelling() -> None:
    ids = [new_id() for _ in range(500)]
    assert ids == sorted(ids)
    assert parse_id(str(ids[0])) == ids[0]


@pytest.mark.parametrize("text", ["", "dummy", "0" * 32, "{" + "0" * 36 + "}", "urn:uuid:x", "../" * 12])
def test_only_the_canonical_spelling_is_an_id(text: str) -> None:
    assert parse_id(text) is None
