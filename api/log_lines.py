"""Lines of a log, each with the time at which it came. Pure; the log's bytes stay what they were."""

from datetime import UTC, datetime

from api.schemas import timestamp
from common.models import LogMarks


def with_timestamps(log: bytes, marks: LogMarks) -> bytes:
    """*log* with "<RFC 3339 in UTC, ms> " before each line, to within some ms; as it is where no times are known.

    Takes a while for a log of a million lines.
    """
    if not marks:
        return log
    stamps = [timestamp(datetime.fromtimestamp(at_ms / 1000, UTC)).encode() + b" " for _, at_ms in marks]
    parts: list[bytes] = []
    begin = mark = 0
    for line in log.splitlines(keepends=True):
        while mark + 1 < len(marks) and marks[mark + 1][0] <= begin:
            mark += 1
        parts += stamps[mark], line
        begin += len(line)
    return b"".join(parts)
