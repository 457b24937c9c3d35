from structlog.testing import capture_logs

from common.telemetry.reach import Reach


def test_an_outage_and_its_end_are_said_once_each() -> None:
    now_s = 100.0
    reach = Reach("redis", lambda: now_s)
    with capture_logs() as logs:
        reach.answered()
        for _ in range(3):
            reach.failed(ConnectionError("refused"))
        now_s = 104.0
        reach.answered()
        reach.answered()
    assert [(line["event"], line["server"]) for line in logs] == [
        ("server is unreachable", "redis"),
        ("server is reachable again", "redis"),
    ]
    assert (logs[0]["cause"], logs[1]["away_s"]) == ("refused", 4.0)


def test_one_that_comes_and_goes_is_said_in_pairs_and_not_often() -> None:
    now_s = 0.0
    reach = Reach("redis", lambda: now_s)
    with capture_logs() as logs:
        for number in range(100):
            now_s = number * 0.5
            reach.failed(TimeoutError())
            reach.answered()
    assert [line["event"].split()[2] for line in logs] == ["unreachable", "reachable"] * 5
