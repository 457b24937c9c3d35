"""How the workers of a machine share its memory: never more than there is, and in the end the same for each."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.store.machine import MemoryUse, share


def worker(has_mb: int, *, machine_mb: int = 1000, shares: bool = True, **fields: Any) -> MemoryUse:
    return MemoryUse(machine_mb=machine_mb, has_mb=has_mb, shares=shares, **fields)


@pytest.mark.parametrize(
    ("own", "others", "has_mb", "wanted_mb"),
    [
        (worker(0), [], 1000, 1000),
        (worker(0), [worker(1000)], 0, 500),
        (worker(1000), [worker(0)], 1000, 500),
        (worker(700), [worker(0)], 700, 500),  # its calls use more: the other one waits
        (worker(0), [worker(700)], 300, 500),
        (worker(0), [worker(500)], 500, 500),
        (worker(500), [worker(0, is_draining=True)], 1000, 1000),
        (worker(0, is_draining=True), [worker(500)], 0, 0),
        (worker(0), [worker(600, shares=False)], 400, 400),
        (worker(0, machine_mb=300), [worker(500)], 500, 500),  # who came first saw more free
        (worker(0), [worker(1200, shares=False)], 0, 0),
    ],
)
def test_a_part_grows_by_what_nobody_has_up_to_an_equal_share(
    own: MemoryUse, others: list[MemoryUse], has_mb: int, wanted_mb: int
) -> None:
    part = share(own, others)
    assert (part.has_mb, part.wanted_mb) == (has_mb, wanted_mb)


def test_parts_of_a_fixed_size_may_be_too_large_and_then_that_is_said() -> None:
    part = share(worker(700, shares=False), [worker(600, shares=False)])
    assert part.problem == "the workers of this machine may use 1300 MB, and it has 1000 MB for them"
    assert share(worker(400, shares=False), [worker(600, shares=False)]).problem == ""


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1000)), max_size=40))
def test_whoever_looks_when_the_parts_fit_the_machine_and_even_out(looks: list[tuple[int, int]]) -> None:
    """Each look: which worker, and how much its calls use then, as far as its part goes."""
    parts = [0, 0, 0, 0]

    def look(which: int, used_mb: int) -> None:
        others = [worker(part) for number, part in enumerate(parts) if number != which]
        held_mb = max(min(parts[which], share(worker(parts[which]), others).wanted_mb), used_mb)
        parts[which] = share(worker(min(held_mb, parts[which])), others).has_mb

    for which, used_mb in looks:
        look(which, min(used_mb, parts[which]))
        assert sum(parts) <= 1000
    for which in (0, 1, 2, 3) * 2:
        look(which, 0)
    assert parts == [250] * 4
