"""Outcomes that can't be stored: Postgres answers, but not within the time that so large a result or log is given.

Trying such an outcome for ever would block those that wait behind it. It is recorded without result and log instead.
"""

from msgspec.structs import replace

from common.errors import UnavailableError
from common.models import CallStatus, Detail, Outcome, Reason
from common.store.base import Datastore

TRIES = 3
LARGE_BYTES = 64 * 1024  # what is smaller never takes long because of its size


async def is_too_large(store: Datastore, outcome: Outcome, error: UnavailableError) -> bool:
    """Whether recording *outcome* alone took too long, as *error* says, while the store answers others."""
    size_bytes = len(outcome.result) + len(outcome.log)
    if size_bytes < LARGE_BYTES or not isinstance(error.__cause__, TimeoutError):
        return False
    try:
        await store.check()
    except UnavailableError:
        return False
    return True


def without_output(outcome: Outcome) -> Outcome:
    """What is recorded in its place. A call that went well has lost its result, and so ends as an error."""
    bare = replace(outcome, result=b"", response_headers={}, log=b"", log_marks=())
    if outcome.status is not CallStatus.SUCCESS:
        return bare
    size_bytes = len(outcome.result) + len(outcome.log)
    return replace(
        bare,
        status=CallStatus.ERROR,
        reason=Reason.KILLED,
        detail=Detail.RESULT_NOT_STORED,
        error=f"The function ended well, but its result and log of {size_bytes} bytes could not be stored in time",
    )
