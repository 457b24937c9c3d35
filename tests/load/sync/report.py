"""A run's report in Markdown, ready to be pasted. Says what was measured and adds nothing."""

from tests.load.sync.bench import Report
from tests.load.sync.figures import Line
from tests.load.sync.plan import CONNECTIONS
from tests.load.tables import table, targets_table

ELSE = "everything else on the machine"


def markdown(report: Report) -> str:
    """The whole report."""
    parts = [
        *("### Targets", targets_table(report.targets)),
        *("### Calls", _calls(report.lines)),
        *("### Where the time goes", _cpu(report.lines), _floor(report)),
        *("### What was measured", _about(report)),
    ]
    return "\n\n".join(parts) + "\n"


def _calls(lines: list[Line]) -> str:
    rows = [
        (
            line.title,
            str(line.connections),
            f"{line.figures.per_s:,.0f}",
            f"{line.figures.latency.p50_ms:.2f}",
            f"{line.figures.latency.p99_ms:.2f}",
            f"{min(line.rounds):,.0f} to {max(line.rounds):,.0f}",
        )
        for line in lines
    ]
    return table(("", "at once", "calls/s", "p50 ms", "p99 ms", "rounds, calls/s"), rows)


def _cpu(lines: list[Line]) -> str:
    """Processor time of a call by process: what a missed target is looked for in."""
    names = dict.fromkeys(name for line in lines for name in line.figures.cpu_us)
    rows = [(name, *(_used(line, name) for line in lines)) for name in names]
    rows.append((ELSE, *(f"{_others_us(line):,.0f}" for line in lines)))
    rows.append(("together", *(f"{line.figures.busy_us:,.0f}" for line in lines)))
    rows.append(("cores busy", *(f"{line.figures.busy_us * line.figures.per_s / 1e6:.2f}" for line in lines)))
    heads = (f"{line.title}, {line.connections} at once" for line in lines)
    return table(("processor time a call, µs (share)", *heads), rows)


def _floor(report: Report) -> str:
    """What no queue and no worker, however fast, can change on this machine."""
    found = {line.name: line.figures.busy_us for line in report.lines}
    if not {f"bare-{CONNECTIONS}", "ceiling"} <= set(found):
        return "Not all of it was measured."
    us = found[f"bare-{CONNECTIONS}"] + found["ceiling"]
    cores = report.machine.cores
    return (
        f"A bare exchange and the api alone take {us:,.0f} µs together: {cores} cores would be used up by "
        f"{cores * 1e6 / us:,.0f} calls/s of both, with no queue and no worker between them."
    )


def _used(line: Line, name: str) -> str:
    if name not in line.figures.cpu_us:
        return ""
    us = line.figures.cpu_us[name]
    return f"{us:,.0f} ({us / line.figures.busy_us:.0%})"


def _others_us(line: Line) -> float:
    return line.figures.busy_us - sum(line.figures.cpu_us.values())


def _about(report: Report) -> str:
    plan = report.plan
    return (
        f"{report.machine.told(report.programs)} "
        f"In turns, each second round backwards; the median of {plan.rounds} rounds of {plan.measure_s} s, "
        f"each after {plan.warm_up_s} s to warm up. Every answer was checked."
    )
