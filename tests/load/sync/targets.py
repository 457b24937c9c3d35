"""The targets of hot sync calls, judged by one run's figures. A figure that was not taken leaves its target open."""

from collections.abc import Iterable

from tests.load.sync.figures import Line
from tests.load.sync.plan import CONNECTIONS
from tests.load.target import Target

SHARE_OF_BARE = 0.5
OVERHEAD_MS = 3.0


def judge(lines: Iterable[Line]) -> list[Target]:
    """Every target of hot sync calls."""
    found = {line.name: line for line in lines}
    bare, sync, ceiling = (found.get(name) for name in (f"bare-{CONNECTIONS}", "sync", "ceiling"))
    return [_rate(bare, sync, ceiling), _overhead(bare, sync)]


def _rate(bare: Line | None, sync: Line | None, ceiling: Line | None) -> Target:
    wanted = (
        f"hot sync calls: {SHARE_OF_BARE:g} x the exchanges of a bare client on as many containers, "
        "up to what one api process can answer"
    )
    if bare is None or sync is None or ceiling is None:
        return Target(wanted=wanted, measured="not measured", is_reached=None)
    rate, bare_rate, most = (line.figures.per_s for line in (sync, bare, ceiling))
    return Target(
        wanted=wanted,
        measured=f"{rate:,.0f}/s: {rate / bare_rate:.2f} x bare ({bare_rate:,.0f}/s), "
        f"{rate / most:.2f} x the api alone ({most:,.0f}/s)",
        is_reached=rate >= min(SHARE_OF_BARE * bare_rate, most),
    )


def _overhead(bare: Line | None, sync: Line | None) -> Target:
    wanted = f"hot sync calls: p50 at most {OVERHEAD_MS:g} ms over the bare exchange"
    if bare is None or sync is None:
        return Target(wanted=wanted, measured="not measured", is_reached=None)
    over_ms = sync.figures.latency.p50_ms - bare.figures.latency.p50_ms
    return Target(wanted=wanted, measured=f"{over_ms:.2f} ms", is_reached=over_ms <= OVERHEAD_MS)
