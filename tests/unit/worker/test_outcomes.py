"""How an end becomes an outcome, where the engine can't be made to show it at will."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from common.models import CallStatus, Detail, Reason
from worker.containers import refusals
from worker.containers.refusals import classify_pull
from worker.formats.base import Capture
from worker.logcapture import CallLog, CappedBuffer
from worker.outcomes import Ended, judge, with_end_of_log
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
        memory_mb=64,
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
        ("Get https://r/v2/: dial tcp: lookup r: no such host", Detail.REGISTRY_UNKNOWN),
        ("Get https://r/v2/: dial tcp: lookup r on 10.0.0.2:53: i/o timeout", Detail.REGISTRY_TIMEOUT),
        (
            "Get https://r/v2/: dial tcp 10.0.0.1:443: connect: connection refused",
            Detail.REGISTRY_UNREACHABLE,
        ),
        ("Get https://r/v2/: net/http: TLS handshake timeout", Detail.REGISTRY_TIMEOUT),
        ("Get https://r/v2/: x509: certificate signed by unknown authority", Detail.REGISTRY_UNREACHABLE),
        ("no matching manifest for linux/arm64 in the manifest list entries", Detail.IMAGE_NOT_FOUND),
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


@pytest.mark.parametrize(
    ("answer", "is_images"),
    [
        ("unable to find user nosuch: no matching entries in passwd file", True),
        ("unable to find group staff9: no matching entries in group file", True),
        ('runc create failed: exec: "/nosuch": stat /nosuch: no such file or directory: unknown', True),
        ('runc create failed: exec: "/f": permission denied: unknown', True),
        ("No command specified", True),
        ("exec user process caused: exec format error", True),
        ("No such image: me/upper:1", False),
        ("stat /var/lib/docker/overlay2/x: no such file or directory", False),
        ("no space left on device", False),
        ("failed to create endpoint x on network millrace: operation not supported", False),
        ("driver failed programming external connectivity", False),
    ],
)
def test_an_images_fault_is_told_from_the_engines(answer: str, is_images: bool) -> None:
    assert refusals.is_images_fault(answer) is is_images


def test_the_engines_words_are_one_bounded_line() -> None:
    assert refusals.words("a\n\x1b[31mb\tc") == "a [31mb c"
    assert len(refusals.words("x" * 10_000)) == refusals.MAX_CHARS


def test_the_record_of_a_function_that_exits_shows_the_end_of_its_log() -> None:
    end = ended(None, 3)
    end.capture.log.append(b"one\n")
    log = CallLog(10_000)
    log.append(b"x" * 5000 + b"\nfirst\n\nValueError: \x1b[31mbad\xff\nlast line\n")
    outcome = replace(judge(end, 10), log=log.value())
    assert outcome.error == "container exit code 3"
    shown = with_end_of_log(outcome).error
    assert shown == (
        "container exit code 3; the log ends with: first | ValueError: \ufffd[31mbad\ufffd | last line"
    )
    long = with_end_of_log(replace(outcome, log=b"y" * 5000)).error
    assert len(long) < len(shown) + 512
    assert with_end_of_log(replace(outcome, log=b" \n")) == replace(outcome, log=b" \n")
    assert with_end_of_log(replace(judge(ended(None, 137), 10), log=b"why")).error == "container was killed"
