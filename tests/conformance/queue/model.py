"""The queue, described a second time and as simply as possible: what the property tests compare the real one with."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from uuid import UUID

from msgspec.structs import replace

from common.errors import QueueFullError, QueuePausedError, UnavailableError
from common.models import QueueEntry
from common.queue.base import (
    Acked,
    Cancelled,
    Capacity,
    DeadCall,
    Extension,
    Reservation,
    Trace,
    Withdrawn,
)


class Place(Enum):
    """Where a call stands."""

    READY = auto()
    DELAY = auto()
    LEASE = auto()
    DEAD = auto()


@dataclass
class ModelCall:
    """One known call. ``is_over``: its delay or its lease has run out, and maintenance has not seen it yet.

    ``is_late``: it is a sync call, and its wait for a worker is over."""

    entry: QueueEntry
    level: int
    number: int
    place: Place
    deliveries: int = 0
    token: int = 0
    holder: UUID | None = None
    is_flagged: bool = False
    is_over: bool = False
    is_late: bool = False
    is_unheard: bool = False

    @property
    def is_sync(self) -> bool:
        return self.level == 0

    @property
    def order(self) -> tuple[int, int, bytes]:
        return self.level, self.number, self.entry.id.bytes


@dataclass
class QueueModel:
    """Every operation answers what the real one must answer."""

    max_calls: int
    max_deliveries: int
    calls: dict[UUID, ModelCall] = field(default_factory=dict)
    ended: set[UUID] = field(default_factory=set)  # sync calls, within the last minute
    sync_pushes: int = 0
    is_paused: bool = False

    def at(self, place: Place) -> list[ModelCall]:
        return sorted(
            (call for call in self.calls.values() if call.place is place), key=lambda call: call.order
        )

    def push(self, entries: Iterable[QueueEntry]) -> int | type[UnavailableError]:
        """How many were new, or what is raised."""
        new: dict[UUID, QueueEntry] = {}
        for entry in entries:
            if entry.id not in self.calls and not (entry.ticket and entry.id in self.ended):
                new.setdefault(entry.id, entry)
        if self.is_paused and any(entry.ticket is not None for entry in new.values()):
            return QueuePausedError
        if len(self.calls) + len(new) > self.max_calls:
            return QueueFullError
        for entry in new.values():
            level, number = 3 - entry.priority, entry.order_no
            is_sync = entry.ticket is not None
            if is_sync:
                level, number, self.sync_pushes = 0, self.sync_pushes, self.sync_pushes + 1
            place = Place.DELAY if entry.delay_ms and not is_sync else Place.READY
            self.calls[entry.id] = ModelCall(entry, level, number, place)
        return len(new)

    def maintain(self) -> None:
        for call in [call for call in self.calls.values() if call.is_over]:
            if call.place is Place.LEASE:
                self._restore(call)
            call.is_over = False
            if call.place is Place.DELAY:
                call.place = Place.READY

    def bury_late(self) -> None:
        for call in self.at(Place.READY):
            if call.is_late or (self.is_paused and call.is_sync):
                call.place = Place.DEAD

    def pause(self) -> None:
        self.is_paused = True
        self.bury_late()

    def reserve(self, capacity: Capacity, holder: UUID) -> list[UUID]:
        """The ids in order; `lease` then notes the tokens that the real queue gave."""
        self.maintain()
        if min(capacity.slots, capacity.sync_slots) > 0 and not self.is_paused:
            self.bury_late()
        if self.is_paused:
            return []
        ready = [call for call in self.at(Place.READY) if call.entry.memory_mb <= capacity.total_mb]
        syncs = [call for call in ready if call.is_sync] if capacity.sync_slots else []
        others = [call for call in ready if not call.is_sync]
        first = self._first_of(others, capacity) if capacity.sync_slots and capacity.slots else []
        first_mb = sum(call.entry.memory_mb for call in first)
        taken = _head(
            syncs, min(capacity.slots - len(first), capacity.sync_slots), capacity.free_mb - first_mb
        )
        is_stopped = len(taken) < min(capacity.slots - len(first), len(syncs), capacity.sync_slots)
        slots = len(first) if is_stopped else capacity.slots - len(taken)
        free_mb = capacity.free_mb - sum(call.entry.memory_mb for call in taken)
        taken += _head(others, min(slots, capacity.async_slots), free_mb)
        for call in taken:
            call.place, call.holder, call.deliveries = Place.LEASE, holder, call.deliveries + 1
        return [call.entry.id for call in taken]

    def _first_of(self, others: list[ModelCall], capacity: Capacity) -> list[ModelCall]:
        """The async calls that come before sync ones, if these are so many that they would take their slots."""
        first = min(capacity.async_first, capacity.slots)
        syncs = sum(call.is_sync for call in self.at(Place.READY))
        return _head(others, first, capacity.free_mb) if syncs > capacity.slots - first else []

    def lease(self, reservations: Iterable[Reservation]) -> None:
        for reservation in reservations:
            self.calls[reservation.id].token = reservation.token

    def ack(self, reservations: Iterable[Reservation]) -> list[Acked]:
        """What was found when the ack began: an old reservation beside the current one is not_reserved."""
        found = {reservation: self._find(reservation) for reservation in reservations}
        for reservation, what in found.items():
            if what is Acked.ACKED:
                self._forget(reservation.id)
        return list(found.values())

    def reply(self, reservation: Reservation) -> Acked:
        call = self.calls.get(reservation.id)
        found = self.ack([reservation])[0]
        return Acked.UNHEARD if found is Acked.ACKED and call and call.is_unheard else found

    def withdraw(self, call_id: UUID, *, is_unheard: bool) -> Withdrawn:
        call = self.calls.get(call_id)
        if call is None:
            is_new = call_id not in self.ended
            self.ended.add(call_id)
            return Withdrawn.WITHDRAWN if is_new else Withdrawn.ENDED
        if call.place is Place.LEASE:
            call.is_unheard |= is_unheard
            if is_unheard and call.entry.ticket is not None:
                call.entry = replace(call.entry, ticket=replace(call.entry.ticket, reply_to=UUID(int=0)))
            return Withdrawn.RUNNING
        if call.place is Place.DEAD:
            return Withdrawn.ENDED
        self._forget(call_id)
        return Withdrawn.WITHDRAWN

    def trace(self, call_id: UUID) -> Trace:
        if call_id in self.calls and self.calls[call_id].is_sync:
            return Trace.HERE
        return Trace.ENDED if call_id in self.ended else Trace.UNKNOWN

    def bury_replied(self, call: DeadCall) -> bool:
        known = call.id in self.calls
        self.bury([call.id])
        return known and call.id not in self.calls

    def has_left(self, capacity: Capacity) -> bool:
        """Whether ready calls of the lanes asked for stay, after a reserve."""
        if capacity.slots == 0 or self.is_paused:
            return False
        asked = {True: capacity.sync_slots, False: capacity.async_slots}
        return any(asked[call.is_sync] > 0 for call in self.at(Place.READY))

    def extend(self, reservation: Reservation) -> Extension:
        if reservation.id not in self.calls:
            return Extension.UNKNOWN
        if (call := self._held(reservation)) is None:
            return Extension.LOST
        call.is_over = False
        return Extension.CANCEL_REQUESTED if call.is_flagged else Extension.HELD

    def release(self, reservation: Reservation, delay_ms: int) -> bool:
        if (call := self._held(reservation)) is None:
            return False
        call.deliveries -= 1
        is_flagged = self._end_lease(call)
        if is_flagged and not call.is_sync:
            del self.calls[reservation.id]
        elif is_flagged:
            call.place = Place.DEAD
        else:
            call.place = Place.DELAY if delay_ms else Place.READY
        return True

    def release_incarnation(self, holder: UUID) -> int:
        held = [call for call in self.at(Place.LEASE) if call.holder == holder]
        for call in held:
            self._restore(call)
        return len(held)

    def cancel(self, call_id: UUID) -> Cancelled:
        call = self.calls.get(call_id)
        if call is None or call.place is Place.DEAD:
            return Cancelled.UNKNOWN
        if call.place is Place.LEASE:
            call.is_flagged = True
            return Cancelled.REQUESTED
        self._forget(call_id)
        return Cancelled.REMOVED

    def bury(self, ids: Iterable[UUID]) -> None:
        for call_id in ids:
            if call_id in self.calls and self.calls[call_id].place is Place.DEAD:
                self._forget(call_id)

    def lose_everything(self) -> list[QueueEntry]:
        """Forget all; return what the store would push again: every unfinished async call."""
        entries = [call.entry for call in self.calls.values() if not call.is_sync]
        self.calls, self.ended, self.sync_pushes, self.is_paused = {}, set(), 0, False
        return entries

    def _forget(self, call_id: UUID) -> None:
        if self.calls.pop(call_id).is_sync:
            self.ended.add(call_id)

    def _find(self, reservation: Reservation) -> Acked:
        if reservation.id not in self.calls:
            return Acked.UNKNOWN
        return Acked.NOT_RESERVED if self._held(reservation) is None else Acked.ACKED

    def _held(self, reservation: Reservation) -> ModelCall | None:
        call = self.calls.get(reservation.id)
        return call if call and call.place is Place.LEASE and call.token == reservation.token else None

    def _restore(self, call: ModelCall) -> None:
        most = 1 if call.is_sync else self.max_deliveries
        if self._end_lease(call) and not call.is_sync:
            del self.calls[call.entry.id]
        else:
            call.place = Place.DEAD if call.deliveries >= most else Place.READY

    @staticmethod
    def _end_lease(call: ModelCall) -> bool:
        was_flagged = call.is_flagged
        call.token, call.holder, call.is_flagged, call.is_over = 0, None, False, False
        return was_flagged


def _head(calls: list[ModelCall], slots: int, free_mb: int) -> list[ModelCall]:
    """Those of the head that fit; the first that does not stops the others."""
    taken: list[ModelCall] = []
    for call in calls[: max(0, slots)]:
        free_mb -= call.entry.memory_mb
        if free_mb < 0:
            break
        taken.append(call)
    return taken
