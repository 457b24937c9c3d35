"""What cold calls took, on both ways. Pure functions and the report's types; measures nothing."""

from collections.abc import Sequence

from msgspec import Struct

from tests.load.spread import Spread, spread


class BareCall(Struct, frozen=True, kw_only=True):
    """One bare run. ``run``: from its start to its output and exit code."""

    create_ns: int
    start_ns: int
    run_ns: int
    remove_ns: int

    @property
    def answered_ns(self) -> int:
        """Until its answer was there."""
        return self.create_ns + self.start_ns + self.run_ns

    @property
    def whole_ns(self) -> int:
        """Until nothing was left of it."""
        return self.answered_ns + self.remove_ns


class ColdLine(Struct, frozen=True, kw_only=True):
    """One network, *at_once* calls at a time. ``sync``: to the answer; ``gone``: from there until no container is left.

    ``whole``: of the bare runs, with the removal; ``answered``: without. ``steps``: their medians, in ms.
    """

    network: str
    at_once: int
    calls: int
    sync: Spread
    gone: Spread
    whole: Spread
    answered: Spread
    steps: dict[str, float]


def line(
    network: str, at_once: int, sync_ns: Sequence[int], gone_ns: Sequence[int], bare: Sequence[BareCall]
) -> ColdLine:
    """All of one kind together."""
    steps = {
        "create, attach": [call.create_ns for call in bare],
        "start": [call.start_ns for call in bare],
        "run": [call.run_ns for call in bare],
        "remove": [call.remove_ns for call in bare],
    }
    return ColdLine(
        network=network,
        at_once=at_once,
        calls=len(sync_ns),
        sync=spread(sync_ns),
        gone=spread(gone_ns),
        whole=spread([call.whole_ns for call in bare]),
        answered=spread([call.answered_ns for call in bare]),
        steps={name: spread(took_ns).p50_ms for name, took_ns in steps.items()},
    )
