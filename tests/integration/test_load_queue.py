"""The queue's benchmark runs and its figures make sense; how fast anything is, is not for a test to say."""

from pathlib import Path

import pytest

from tests.load.queue import environments
from tests.load.queue.bench import run
from tests.load.queue.plan import BATCHES, Plan
from tests.load.queue.report import markdown

TINY = Plan(
    depths=(600, 1200),
    measure_s=0.05,
    rounds=1,
    standing=200,
    reserve_rounds=1,
    idle_s=0.2,
    latency_samples=50,
    redis="auto",
)


@pytest.mark.timeout(120)  # a dozen processes start, one after the other
async def test_a_run_measures_millrace_and_says_who_was_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "HOME", tmp_path)
    said: list[str] = []
    report = await run(TINY, said.append, ("floor", "millrace", "arq"))
    assert said
    assert [line.depth for line in report.depths] == list(TINY.depths)
    for line in report.depths:
        assert 50 < line.bytes_per_call < 500
        assert all(line.rates[batch].cycles_per_s > 0 and line.reserve_us[batch] > 0 for batch in BATCHES)
    assert all(set(line.sent) <= {"blpop", "evalsha"} for line in report.idle)
    assert [line.samples for line in report.latency] == [TINY.latency_samples] * 2
    measured = {(line.name, line.batch) for line in report.field if line.rates is not None}
    assert measured == {(name, batch) for name in ("floor", "millrace") for batch in BATCHES}
    (arq,) = [line for line in report.field if line.name == "arq"]
    assert "not installed" in arq.missing
    text = markdown(report)
    assert "not measured: not installed" in text
    assert text.count("| Millrace | 100 |") == 1
