"""A run's report in Markdown, ready to be pasted. Says what was measured and adds nothing."""

from tests.load.queue.bench import Report
from tests.load.queue.field import FIELD
from tests.load.queue.figures import FieldLine, Rates
from tests.load.spread import Spread
from tests.load.tables import table, targets_table

RATES = ("cycles/s", "push/s", "take + ack/s", "push ms", "take ms", "ack ms")


def markdown(report: Report) -> str:
    """The whole report."""
    parts = [
        *("### Targets", targets_table(report.targets)),
        *("### Beside its peers", _about(report), _field(report)),
        *("### At depth", _depths(report), _reserves(report)),
        *("### Waiting", _idle(report), _latency(report)),
        *("### What was called", _called(report)),
    ]
    return "\n\n".join(parts) + "\n"


def _about(report: Report) -> str:
    machine, plan = report.machine, report.plan
    servers = "; ".join(f"{name} {how}" for name, how in report.servers.items())
    floor = [
        each for line in report.field if line.name == "floor" and line.batch == 1 for each in line.rounds
    ]
    noise = (
        f" The floor's rounds at batch 1: {min(floor):,.0f} to {max(floor):,.0f} cycles/s." if floor else ""
    )
    return (
        f"{machine.at}, commit {machine.commit}; {machine.processor}, {machine.cores} cores, {machine.memory_mb:,} MB, "
        f"{machine.system}, Python {machine.python}, load {machine.load:.2f} before the run. {servers}. "
        f"{plan.clients} client processes, one request under way each; {plan.standing:,} calls stand in each queue; "
        f"the median of {plan.rounds} rounds of {plan.measure_s:g} s.{noise}"
    )


def _field(report: Report) -> str:
    rows = []
    for line in report.field:
        title = f"{_title(line.name)} {_version(line)}".strip()
        if line.rates is None:
            rows.append((title, "", f"not measured: {line.missing}", *[""] * (len(RATES) - 1)))
        else:
            rows.append((title, str(line.batch), *_rates(line.rates)))
    return table(("", "batch", *RATES), rows)


def _depths(report: Report) -> str:
    rows = [
        (f"{line.depth:,}", str(batch), *_rates(rates))
        for line in report.depths
        for batch, rates in line.rates.items()
    ]
    return table(("calls queued", "batch", *RATES), rows)


def _reserves(report: Report) -> str:
    batches = list(report.depths[0].reserve_us)
    rows = [
        (
            f"{line.depth:,}",
            f"{line.bytes_per_call:.0f}",
            *(f"{line.reserve_us[batch]:,.0f} / {line.reserve_ms[batch] * 1000:,.0f}" for batch in batches),
        )
        for line in report.depths
    ]
    heads = (f"a reserve of {batch}: µs in Redis / for the client" for batch in batches)
    return table(("calls queued", "bytes a call", *heads), rows)


def _idle(report: Report) -> str:
    rows = [
        (
            line.state,
            f"{line.sent_per_s:.2f}",
            f"{line.executed_per_s:.2f}",
            f"{_counted(line.sent)} in {line.seconds:.0f} s",
        )
        for line in report.idle
    ]
    return table(("a waiting worker", "commands/s sent", "with those in scripts", "sent"), rows)


def _counted(commands: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in commands.items()) or "nothing"


def _latency(report: Report) -> str:
    rows = [
        (line.name, str(line.samples), f"{line.latency.p50_ms:.2f}", f"{line.latency.p99_ms:.2f}")
        for line in report.latency
    ]
    return table(("one call, idle worker", "samples", "p50 ms", "p99 ms"), rows)


def _called(report: Report) -> str:
    measured = {line.name for line in report.field}
    rows = [(one.title, one.push, one.take, one.ack, one.open_ends) for one in FIELD if one.name in measured]
    return table(("", "push", "take", "ack", "what it leaves open"), rows, is_words=True)


def _rates(rates: Rates) -> tuple[str, ...]:
    per_s = (rates.cycles_per_s, rates.push_per_s, rates.take_ack_per_s)
    return (*(f"{value:,.0f}" for value in per_s), *map(_spread, (rates.push, rates.take, rates.ack)))


def _spread(spread: Spread) -> str:
    return f"{spread.p50_ms:.2f} / {spread.p99_ms:.2f}"


def _title(name: str) -> str:
    return next(contestant.title for contestant in FIELD if contestant.name == name)


def _version(line: FieldLine) -> str:
    if line.name in {"millrace", "floor"} or not line.versions:
        return ""
    return f"({', '.join(f'{package} {version}' for package, version in line.versions.items())})"
