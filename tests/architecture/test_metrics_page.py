"""deploy/docs/metrics.md and the code name the same metrics: their kinds, whose they are, and their labels."""

import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram

from api.metrics import Metrics as ApiMetrics
from common.telemetry.metrics import ProcessMetrics
from worker.metrics import Metrics as WorkerMetrics

PAGE = Path(__file__).parents[2] / "deploy" / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (\w+)[^|]* \| ([^|]*)\|", re.MULTILINE)
KINDS: dict[type, str] = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def made_by(metrics: ProcessMetrics) -> set[tuple[str, str, tuple[str, ...]]]:
    made = [one for one in vars(metrics).values() if type(one) in KINDS]
    return {(one._name, KINDS[type(one)], tuple(one._labelnames)) for one in made}


def documented(*processes: str) -> set[tuple[str, str, tuple[str, ...]]]:
    return {
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, of, labels in _ROW.findall(PAGE.read_text())
        if of in processes
    }


@pytest.mark.parametrize(("metrics", "process"), [(ApiMetrics, "api"), (WorkerMetrics, "worker")])
def test_the_page_has_every_metric_and_no_other(metrics: type[ProcessMetrics], process: str) -> None:
    assert made_by(metrics()) == documented(process, "both")


def test_no_process_exports_what_only_the_other_knows() -> None:
    both = {name for name, _, _ in made_by(ProcessMetrics())}
    api, worker = ({name for name, _, _ in made_by(one())} for one in (ApiMetrics, WorkerMetrics))
    assert api & worker == both
