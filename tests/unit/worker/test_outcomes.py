"""How an end becomes an outcome, where the engine can't be made to show it at will."""

from datetime import UTC, datetime

import pytest

from common.models import CallStatus, Detail, Reason
from worker.containers.images import classify_pull
from worker.formats.base import Capture
from worker.logcapture import CallLog, CappedBuffer
from worker.outcomes import Ended, judge
from worker.runs import Verdict


def ended(
    verdict: Verdict | None, exit_code: int | None, *, oom_killed: bool = False, output: bytes = b""
) -> Ended:
    capture = Capture(result=CappedBuffer(10), log=CallLog(10))
    capture.result.append(output)
    now = datetime.now(UTC)
    return Ended(
        verdict=verdict,
        exit_code=exit_code,
        oom_killed=oom_killed,
        capture=capture,
        stats=(),
        started_at=now,
        completed_at=now,
    )


@pytest.mark.parametrize(
    ("end", "status", "reason", "detail"),
    [
        (ended(None, 0), CallStatus.SUCCESS, None, ""),
        (ended(None, 0, oom_killed=True), CallStatus.SUCCESS, None, ""),  # it lost a child and coped
        (ended(None, 1), CallStatus.ERROR, Reason.BAD_EXIT, Detail.EXIT_CODE),
        (ended(None, 137, oom_killed=True), CallStatus.ERROR, Reason.KILLED, Detail.OOM_KILLED),
        (ended(None, 1, oom_killed=True), CallStatus.ERROR, Reason.KILLED, Detail.OOM_KILLED),
        (ended(None, 137), CallStatus.ERROR, Reason.KILLED, Detail.SIGNALLED),
        (ended(Verdict.TIMED_OUT, None), CallStatus.ERROR, Reason.TIMEOUT, Detail.RUN_TIMEOUT),
        (ended(Verdict.CANCELLED, None), CallStatus.CANCELLED, Reason.CLIENT_REQUEST, ""),
        (ended(None, 0, output=bytes(11)), CallStatus.ERROR, Reason.KILLED, Detail.RESPONSE_TOO_LARGE),
        (
            ended(Verdict.TOO_LARGE, None, output=bytes(11)),
            CallStatus.ERROR,
            Reason.KILLED,
            Detail.RESPONSE_TOO_LARGE,
        ),
    ],
)
def test_judgement(end: Ended, status: CallStatus, reason: Reason | None, detail: str) -> None:
    outcome = judge(end, 10)
    assert (outcome.status, outcome.reason, outcome.detail) == (status, reason, detail)
    assert len(outcome.result) <= 10


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ("manifest for x:1 not found: manifest unknown: manifest unknown", Detail.IMAGE_NOT_FOUND),
        (
            "pull access denied for x, repository does not exist or may require 'docker login'",
            Detail.PULL_DENIED,
        ),
        ('Head "https://r/v2/": unauthorized: authentication required', Detail.PULL_DENIED),
        ("Get https://r/v2/: dial tcp: lookup r: no such host", Detail.PULL_FAILED),
        ("toomanyrequests: slow down", Detail.PULL_FAILED),
    ],
)
def test_refused_pulls_are_told_apart_by_their_words(answer: str, detail: Detail) -> None:
    assert classify_pull(answer) is detail


def test_a_cut_log_says_so_once() -> None:
    log = CallLog(4)
    for piece in (b"ab", b"\0d", b"", b"ef", b"gh"):
        log.append(piece)
    assert log.value() == b"ab\0d\n-----max log size 4 bytes exceeded, truncating log-----\n"


def test_a_log_that_just_fits_is_whole() -> None:
    log = CallLog(4)
    log.append(memoryview(b"abcd"))
    assert log.value() == b"abcd"
