"""Machine: how workers of one machine share its memory, so that together they never use more than there is.

Each worker has a part of it in the store, and keeps to that. It may lower its part at any time, and raises it by what
no other worker has, up to an equal share. Parts of a fixed size (``worker_memory_mb``) are the operator's: the others
share the rest.
"""

from collections.abc import Sequence

from msgspec import Struct


class MemoryUse(Struct, frozen=True, kw_only=True):
    """What a worker says of its memory, in MB. ``has_mb`` is its part: what its calls use now, or may use.

    ``machine_mb``: what all functions of its machine may use, as it found that. ``shares``: its part has no fixed size.
    """

    machine_mb: int
    has_mb: int
    shares: bool
    is_draining: bool = False


class MemoryShare(Struct, frozen=True, kw_only=True):
    """A worker's part from now on: ``has_mb``. ``wanted_mb``: to what it should change its part, step by step.

    ``problem``: that the parts of all exceed the machine, in words; empty if they do not.
    """

    has_mb: int
    wanted_mb: int
    problem: str = ""


def share(own: MemoryUse, others: Sequence[MemoryUse]) -> MemoryShare:
    """What a worker has and should have, beside the *others* of its machine."""
    machine_mb = max([own.machine_mb, *(other.machine_mb for other in others)])
    taken_mb = sum(other.has_mb for other in others)
    wanted_mb = _wanted_mb(own, others, machine_mb)
    has_mb = max(own.has_mb, min(wanted_mb, machine_mb - taken_mb))
    all_mb, problem = taken_mb + has_mb, ""
    if all_mb > machine_mb:
        problem = f"the workers of this machine may use {all_mb} MB, and it has {machine_mb} MB for them"
    return MemoryShare(has_mb=has_mb, wanted_mb=wanted_mb, problem=problem)


def _wanted_mb(own: MemoryUse, others: Sequence[MemoryUse], machine_mb: int) -> int:
    if not own.shares:
        return own.has_mb
    if own.is_draining:
        return 0
    fixed_mb = sum(other.has_mb for other in others if not other.shares)
    sharing = sum(other.shares and not other.is_draining for other in others)
    return max(0, machine_mb - fixed_mb) // (sharing + 1)
