"""Lines of a log, each with the time at which it came. Pure; the log's bytes stay what they were."""

from bisect import bisect_right
from datetime import UTC, datetime

from api.schemas import timestamp
from common.models import LogMarks


def with_timestamps(log: bytes, marks: LogMarks) -> bytes:
    """*log* with "<RFC 3339 in UTC, ms> " before each line, to within some ms; as it is where no times are known."""
    if not marks:
        return log
    firsts = [first for first, _ in marks]
    lines, begin = [], 0
    for line in log.splitlines(keepends=True):
        _, at_ms = marks[max(0, bisect_right(firsts, begin) - 1)]
        lines.append(timestamp(datetime.fromtimestamp(at_ms / 1000, UTC)).encode() + b" " + line)
        begin += len(line)
    return b"".join(lines)
