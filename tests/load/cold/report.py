"""A run's report in Markdown, ready to be pasted. Says what was measured and adds nothing."""

from tests.load.cold.bench import Report
from tests.load.cold.figures import ColdLine
from tests.load.spread import Spread
from tests.load.tables import table, targets_table


def markdown(report: Report) -> str:
    """The whole report."""
    parts = [
        *("### Targets", targets_table(report.targets)),
        *("### Cold calls", _calls(report.lines)),
        *("### What the bare client's steps take", _steps(report.lines)),
        *("### What was measured", _about(report)),
    ]
    return "\n\n".join(parts) + "\n"


def _calls(lines: list[ColdLine]) -> str:
    rows = [
        (
            f"{line.network}, {line.at_once} at a time",
            *(_spread(each) for each in (line.sync, line.whole, line.answered, line.gone)),
        )
        for line in lines
    ]
    heads = (
        "p50 / p90 ms",
        "Millrace, to the answer",
        "bare, to the end of the removal",
        "bare, to the answer",
        "Millrace, from the answer to the end of the removal",
    )
    return table(heads, rows)


def _steps(lines: list[ColdLine]) -> str:
    rows = [
        (f"{line.network}, {line.at_once} at a time", *(f"{ms:.1f}" for ms in line.steps.values()))
        for line in lines
    ]
    return table(("p50 ms", *lines[0].steps), rows)


def _about(report: Report) -> str:
    plan = report.plan
    return (
        f"{report.machine.told(report.programs)} "
        f"{plan.calls} calls of each kind, in turns, on an engine with nothing left to remove; who begins changes. "
        "A busybox that echoes, same image and limits for both, every answer checked. "
        "A caller does not wait for the removal of its container: the answer comes before."
    )


def _spread(spread: Spread) -> str:
    return f"{spread.p50_ms:.0f} / {spread.p90_ms:.0f}"
