from worker.logcapture import MARKS_MAX, CallLog


def test_a_log_notes_when_its_parts_came_and_never_notes_much() -> None:
    log = CallLog(10)
    log.append(b"one\n")
    log.append(b"two\n")  # within the same moment
    assert [first for first, _ in log.marks()] == [0]
    log._mark_every_ms = 0
    for _ in range(2 * MARKS_MAX):
        log.append(b"")
        log._mark_every_ms = 0
    assert len(log.marks()) < MARKS_MAX
    assert log.marks()[0][0] == 0
    assert list(log.marks()) == sorted(log.marks())
