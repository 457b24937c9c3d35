"""A run's report in Markdown, ready to be pasted. Says what was measured and adds nothing."""

from tests.chaos.checker import quantile
from tests.chaos.run import Report
from tests.load.tables import table


def markdown(report: Report) -> str:
    """The whole report."""
    parts = [_figures(report), _trouble(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(report: Report) -> str:
    figures, plan = report.figures, report.plan
    rows = [
        ("accepted calls, all of them final", f"{figures.accepted:,}"),
        ("the run took", f"{report.lasted_s:,.0f} s"),
        ("processes killed, of " + _many(plan.cluster.apis, plan.cluster.workers), _told(figures.killed)),
        ("lost calls", str(_count(report, "lost", "stuck"))),
        ("duplicated results", str(_count(report, "duplicated result", "wrong result"))),
        ("requests that became two calls", str(_count(report, "unasked"))),
        ("calls delivered again, by cause", _told(figures.redelivered)),
        ("most attempts of a call", str(figures.attempts_max)),
        ("from kill -9 of a child to the new start of its call, single kills", _times(report.singles_s)),
        ("the same, in the loop", _times(figures.restarts_s)),
        ("requests without a 202, asked again by their clients", _told(figures.refused)),
        ("the longest that a client had to ask", f"{figures.longest_wait_s:.2f} s"),
        ("answers to sync calls, by status", _told(figures.sync_answers)),
        ("rows, queue, containers, keys and files agree at the end", "no" if report.agreement else "yes"),
    ]
    return table(("", "measured"), rows, is_words=True)


def _times(sorted_s: list[float]) -> str:
    median_s, p95_s = quantile(sorted_s, 0.5), quantile(sorted_s, 0.95)
    if median_s is None or p95_s is None:
        return "none was killed in a call"
    return f"median {median_s:.2f} s, p95 {p95_s:.2f} s ({len(sorted_s)} calls)"


def _trouble(report: Report) -> str:
    lines = [f"- {finding.kind}: {finding.call_id}: {finding.text}" for finding in report.findings]
    return "\n".join([*lines, *(f"- {line}" for line in report.agreement)])


def _count(report: Report, *kinds: str) -> int:
    return sum(finding.kind in kinds for finding in report.findings)


def _many(apis: int, workers: int) -> str:
    return f"{apis} apis and {workers} workers"


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} x {name}" for name, count in counts.items()) or "none"
