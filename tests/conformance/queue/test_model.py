"""Random operations on the real queue answer what the model answers, and leave every call in exactly one place."""

import asyncio
import random
from functools import partial
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from common.models import QueueEntry, SyncTicket, new_id
from common.queue.base import Capacity, DeadCall, Depth, Lane, Reservation
from common.queue.redis import DELIVERIES_PER_ATTEMPT, RedisQueue
from common.settings import Settings
from tests.conformance.queue.model import Place, QueueModel

MAX_CALLS = 25
MAX_ATTEMPTS = 1  # few, so that dead calls come about
HOUR_S = 3600  # nothing falls due or expires by itself: a rule makes it
WORKERS = [new_id(), new_id()]
SCORES = {Place.READY: "ready", Place.DELAY: "delay", Place.LEASE: "lease", Place.DEAD: "dead"}

indices = st.lists(st.integers(0, 30), max_size=4)
new_entries = st.builds(
    QueueEntry,
    id=st.uuids(),
    order_no=st.sampled_from([0, 1, 2, 3, 2**40, 2**50 - 1]),
    priority=st.integers(0, 2),
    delay_ms=st.sampled_from([0, 0, 0, HOUR_S * 1000]),
    memory_mb=st.sampled_from([1, 10, 100]),
    ticket=st.none(),
)
sync_entries = st.builds(
    QueueEntry,
    id=st.uuids(),
    order_no=st.just(0),
    priority=st.integers(0, 2),
    delay_ms=st.sampled_from([0, HOUR_S * 1000]),
    memory_mb=st.sampled_from([1, 10, 100]),
    ticket=st.builds(
        SyncTicket, reply_to=st.uuids(), ttl_ms=st.just(HOUR_S * 1000), message=st.binary(max_size=3)
    ),
)
some_slots = st.integers(0, 4)
memory_mb = st.sampled_from([5, 50, 500])


def without_ttl(ticket: SyncTicket | None) -> tuple[UUID, bytes] | None:
    return None if ticket is None else (ticket.reply_to, ticket.message)


class QueueMachine(RuleBasedStateMachine):
    """The real queue beside the model. An index picks from what there is, so that tokens may be long out of date."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.run = self.runner.run
        names = Settings(
            redis_url=url,
            queue_name=f"model-{new_id().hex}",
            queue_max_calls=MAX_CALLS,
            lease_s=HOUR_S,
            max_attempts=MAX_ATTEMPTS,
        )
        self.queue = RedisQueue.open(names)
        self.keys = self.queue._keys
        self.admin: Redis = Redis.from_url(url, protocol=2)
        self.model = QueueModel(MAX_CALLS, DELIVERIES_PER_ATTEMPT * MAX_ATTEMPTS)
        self.held: list[Reservation] = []
        self.seen: list[QueueEntry] = []
        self.dead: list[DeadCall] = []
        self.seed = 0

    def teardown(self) -> None:
        self.run(self.forget())
        self.run(self.queue.aclose())
        self.run(self.admin.aclose())
        self.runner.close()

    async def forget(self) -> None:
        if keys := await self.admin.keys(f"{self.keys.ready.removesuffix('ready')}*"):
            await self.admin.delete(*keys)

    def reservations(self, picks: list[int]) -> list[Reservation]:
        recent = self.held[-12:]
        return [recent[pick] for pick in dict.fromkeys(picks) if pick < len(recent)]

    def known(self, picks: list[int]) -> list[QueueEntry]:
        recent = self.seen[-20:]
        return [recent[pick] for pick in dict.fromkeys(picks) if pick < len(recent)]

    @rule(new=st.lists(new_entries | sync_entries, min_size=1, max_size=8), old=indices, twice=st.booleans())
    def push(self, new: list[QueueEntry], old: list[int], twice: bool) -> None:
        entries = [*self.known(old), *new, *(new[:1] if twice else [])]
        expected = self.model.push(entries)
        self.seen += new
        if not isinstance(expected, int):
            with pytest.raises(expected):
                self.run(self.queue.push(entries))
        else:
            assert self.run(self.queue.push(entries)) == expected

    @rule(
        slots=some_slots,
        sync=some_slots,
        others=some_slots,
        first=st.integers(0, 2),
        free=memory_mb,
        more=memory_mb,
        worker=st.sampled_from(WORKERS),
    )
    def reserve(
        self, slots: int, sync: int, others: int, first: int, free: int, more: int, worker: UUID
    ) -> None:
        capacity = Capacity(
            slots=slots,
            sync_slots=sync,
            async_slots=others,
            async_first=min(first, others),
            free_mb=free,
            total_mb=max(free, more),
        )
        self.reserve_as(capacity, worker)

    @rule(worker=st.sampled_from(WORKERS))
    def reserve_all(self, worker: UUID) -> None:
        self.reserve_as(
            Capacity(slots=99, sync_slots=99, async_slots=99, free_mb=9**9, total_mb=9**9), worker
        )

    def reserve_as(self, capacity: Capacity, worker: UUID) -> None:
        reserved = self.run(self.queue.reserve(capacity, worker))
        newest = max([self.seed, *(reservation.token for reservation in self.held)])
        assert [each.id for each in reserved.reservations] == self.model.reserve(capacity, worker)
        assert reserved.has_left == self.model.has_left(capacity)
        assert all(each.token > newest for each in reserved.reservations)
        self.model.lease(reserved.reservations)
        self.held += reserved.reservations
        for each in reserved.reservations:
            call = self.model.calls[each.id]
            assert each.deliveries == call.deliveries
            assert without_ttl(each.ticket) == without_ttl(call.entry.ticket)

    @rule(picks=indices)
    def ack(self, picks: list[int]) -> None:
        some = self.reservations(picks)
        assert self.run(self.queue.ack(some)) == self.model.ack(some)

    @rule(picks=indices)
    def reply(self, picks: list[int]) -> None:
        for each in self.reservations(picks):
            if each.ticket is not None:
                assert self.run(self.queue.reply(each, b"reply")) == self.model.reply(each)

    @rule(picks=indices, is_unheard=st.booleans())
    def withdraw(self, picks: list[int], is_unheard: bool) -> None:
        ids = [*(entry.id for entry in self.known(picks) if entry.ticket is not None), new_id()]
        expected = [self.model.withdraw(call_id, is_unheard=is_unheard) for call_id in ids]
        assert self.run(self.queue.withdraw(ids, is_unheard=is_unheard)) == expected

    @rule(picks=indices)
    def trace(self, picks: list[int]) -> None:
        for entry in self.known(picks):
            assert self.run(self.queue.trace(entry.id)) == self.model.trace(entry.id)

    @rule(ahead=st.integers(1, 3))
    def seed_token(self, ahead: int) -> None:
        self.seed = max([self.seed, *(reservation.token for reservation in self.held)]) + ahead
        self.run(self.queue.seed_token(self.seed))

    @rule(picks=indices)
    def wait_ends(self, picks: list[int]) -> None:
        calls = sorted(
            (call for call in self.model.calls.values() if call.is_sync), key=lambda call: call.order
        )
        for call in [calls[pick] for pick in dict.fromkeys(picks) if pick < len(calls)]:
            call.is_late = True
            self.run(self.end_wait(call.entry.id))

    async def end_wait(self, call_id: UUID) -> None:
        ticket: Any = await self.admin.hget(self.keys.sync, call_id.bytes)
        await self.admin.hset(self.keys.sync, call_id.bytes, bytes(8) + ticket[8:])

    @rule(picks=indices)
    def extend(self, picks: list[int]) -> None:
        some = self.reservations(picks)
        assert self.run(self.queue.extend(some)) == [self.model.extend(each) for each in some]

    @rule(picks=indices, delay_ms=st.sampled_from([0, 0, HOUR_S * 1000]))
    def release(self, picks: list[int], delay_ms: int) -> None:
        some = self.reservations(picks)
        assert self.run(self.queue.release(some, delay_ms)) == [
            self.model.release(each, delay_ms) for each in some
        ]

    @rule(worker=st.sampled_from(WORKERS))
    def release_incarnation(self, worker: UUID) -> None:
        assert self.run(self.queue.release_incarnation(worker)) == self.model.release_incarnation(worker)

    @rule(picks=indices)
    def cancel(self, picks: list[int]) -> None:
        ids = [*(entry.id for entry in self.known(picks)), new_id()]
        assert self.run(self.queue.cancel(ids)) == [self.model.cancel(call_id) for call_id in ids]

    @rule(picks=indices, place=st.sampled_from([Place.LEASE, Place.LEASE, Place.DELAY]))
    def run_out(self, picks: list[int], place: Place) -> None:
        """Leases expire, or delays end."""
        calls = self.model.at(place)
        for call in [calls[pick] for pick in dict.fromkeys(picks) if pick < len(calls)]:
            call.is_over = True
            self.run(self.rescore(getattr(self.keys, SCORES[place]), call.entry.id))

    async def rescore(self, key: str, call_id: UUID) -> None:
        await self.admin.zadd(key, {call_id.bytes: 1}, xx=True)

    @rule()
    def maintain(self) -> None:
        self.model.maintain()
        self.model.bury_late()
        next_ms = self.run(self.queue.maintain())
        assert (next_ms is None) == (not self.model.at(Place.LEASE) + self.model.at(Place.DELAY))

    @rule()
    def pause(self) -> None:
        self.model.pause()
        self.run(self.queue.pause())

    @rule()
    def resume(self) -> None:
        self.model.is_paused = False
        self.run(self.queue.resume())

    @rule(limit=st.integers(0, 30))
    def peek(self, limit: int) -> None:
        peeked = [
            (each.id, each.priority, each.memory_mb, each.deliveries)
            for each in self.run(self.queue.peek(limit))
        ]
        assert peeked == [
            (
                call.entry.id,
                None if call.is_sync else call.entry.priority,
                call.entry.memory_mb,
                call.deliveries,
            )
            for call in self.model.at(Place.READY)[:limit]
        ]

    @rule()
    def bury(self) -> None:
        found = self.run(self.queue.dead(MAX_CALLS))
        assert {(call.id, call.deliveries, without_ttl(call.ticket)) for call in found} == {
            (call.entry.id, call.deliveries, without_ttl(call.entry.ticket))
            for call in self.model.at(Place.DEAD)
        }
        dead = [call.id for call in found]
        self.dead += [call for call in found if call.ticket is not None]
        buried = [*dead[:2], *self.model.calls]
        self.run(self.queue.bury(buried[:4]))
        self.model.bury(buried[:4])

    @rule(picks=indices)
    def bury_replied(self, picks: list[int]) -> None:
        for call in [self.dead[-pick] for pick in picks if 0 < pick <= len(self.dead)]:
            assert self.run(self.queue.bury_replied(call, b"reply")) == self.model.bury_replied(call)

    @rule(order=st.randoms(use_true_random=False))
    def lose_everything_and_rebuild(self, order: random.Random) -> None:
        self.run(self.forget())
        entries = self.model.lose_everything()
        self.seed = 0
        order.shuffle(entries)
        assert self.run(self.queue.push(entries)) == self.model.push(entries)

    @invariant()
    def every_call_is_in_exactly_one_place(self) -> None:
        standing, known, tokens, depth = self.run(self.look())
        ticketed, messages = self.run(self.look_at_tickets())
        self.check_depth(depth)
        for place, ids in standing.items():
            assert set(ids) == {call.entry.id.bytes for call in self.model.at(place)}, place
        assert standing[Place.READY] == [call.entry.id.bytes for call in self.model.at(Place.READY)]
        everywhere = [call_id for ids in standing.values() for call_id in ids]
        assert len(everywhere) == len(set(everywhere)) == len(known)
        assert set(everywhere) == set(known) == {call_id.bytes for call_id in self.model.calls}
        tickets = {call.entry.id.bytes for call in self.model.calls.values() if call.is_sync}
        assert set(ticketed) == set(messages) == tickets
        assert tokens == 0 if self.model.is_paused else tokens <= 128
        # A record is 30 bytes, 16 more while leased, one more once its cancel was asked for.
        for call in self.model.calls.values():
            expected = 30 + (16 if call.place is Place.LEASE else 0) + call.is_flagged
            assert len(known[call.entry.id.bytes]) == expected

    async def look(self) -> tuple[dict[Place, list[bytes]], dict[bytes, bytes], int, Depth]:
        standing: list[Any] = [
            await self.admin.zrange(getattr(self.keys, name), 0, -1) for name in SCORES.values()
        ]
        known: Any = await self.admin.hgetall(self.keys.meta)
        tokens = [await self.admin.llen(self.keys.wake(lane)) for lane in Lane]
        places = dict(zip(SCORES, standing, strict=True))
        return places, known, sum(tokens), await self.queue.depth()

    async def look_at_tickets(self) -> tuple[list[Any], list[Any]]:
        return await self.admin.hkeys(self.keys.sync), await self.admin.hkeys(self.keys.message)

    def check_depth(self, depth: Depth) -> None:
        at = self.model.at
        assert depth.is_conserved
        assert depth.ready == tuple(
            sum(call.level == 3 - priority for call in at(Place.READY)) for priority in range(3)
        )
        assert depth.ready_sync == sum(call.is_sync for call in at(Place.READY))
        assert (depth.delayed, depth.due) == (
            len(at(Place.DELAY)),
            sum(call.is_over for call in at(Place.DELAY)),
        )
        assert (depth.leased, depth.expired) == (
            len(at(Place.LEASE)),
            sum(call.is_over for call in at(Place.LEASE)),
        )
        assert (depth.dead, depth.calls) == (len(at(Place.DEAD)), len(self.model.calls))
        assert (depth.oldest_ready_ms is None) == (not at(Place.READY))
        assert depth.is_paused == self.model.is_paused


@pytest.mark.timeout(300)  # a failure takes its time to become a short one
def test_the_queue_does_what_the_model_does(server_url: str) -> None:
    search: Any = settings(
        max_examples=40,
        stateful_step_count=35,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    machine: Any = partial(QueueMachine, server_url)
    run_state_machine_as_test(machine, settings=search)
