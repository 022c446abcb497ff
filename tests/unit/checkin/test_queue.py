"""The queue in front of the group commit: bounded, orderly, and nobody's failure is another's."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.checkin.application.commit import GroupCommit, Outcome, Stored
from services.checkin.application.queue import QueueLimits, Slots, TapQueue
from services.checkin.domain.errors import (
    DeviceRevokedError,
    OverloadedError,
    StorageUnavailableError,
    TapIdReusedError,
)
from services.checkin.domain.tap import AcceptedTap
from tests.fakes.taps import MemoryTapStore, PlainSealer
from tests.unit.checkin.builders import BOOK, PERSON, SCHOOL, SEVEN, accepted, tap_id_at

LIMITS = QueueLimits(length=100, age=5.0, batch=10, in_flight=2, horizon=60.0, initial_rate=100.0)


def taps(count: int) -> list[AcceptedTap]:
    return [accepted(tap_id=tap_id_at(SEVEN, serial)) for serial in range(count)]


class Gate:
    """A commit that waits until it is let through, and remembers its batches."""

    def __init__(self, store: MemoryTapStore) -> None:
        self.commit = GroupCommit(store=store, sealer=PlainSealer(), book=BOOK, now=lambda: SEVEN)
        self.open = asyncio.Event()
        self.batches: list[int] = []

    async def __call__(self, batch: Sequence[AcceptedTap]) -> Sequence[Outcome]:
        self.batches.append(len(batch))
        await self.open.wait()
        return await self.commit(batch)


@asynccontextmanager
async def running(gate: Gate, limits: QueueLimits = LIMITS) -> AsyncIterator[TapQueue]:
    loop = asyncio.get_running_loop()
    queue = TapQueue(gate, limits=limits, monotonic=loop.time, jitter=lambda: 0.5)
    runner = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        runner.cancel()
        await queue.drain()


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_idle_a_tap_is_committed_at_once_and_loaded_taps_gather() -> None:
    gate = Gate(MemoryTapStore())
    async with running(gate) as queue:
        outcomes = [queue.enter(taps(1)[0])]
        await turns()
        assert gate.batches == [1]
        outcomes += [queue.enter(tap) for tap in taps(30)[1:]]
        await turns()
        assert gate.batches == [1, 10]
        assert queue.depth() == 19
        gate.open.set()
        stored = await asyncio.gather(*outcomes)
    assert all(isinstance(each, Stored) and not each.duplicate for each in stored)
    assert gate.batches == [1, 10, 10, 9]


async def test_a_full_queue_gives_each_caller_a_slot_of_its_own() -> None:
    gate = Gate(MemoryTapStore())
    async with running(gate) as queue:
        waiting = [queue.enter(tap) for tap in taps(200)[:100]]
        slots = []
        for tap in taps(200)[100:]:
            with pytest.raises(OverloadedError) as refused:
                _ = queue.enter(tap)
            slots.append(refused.value.retry_after)
        gate.open.set()
        await asyncio.gather(*waiting)
    assert len(set(slots)) == len(slots)
    assert slots == sorted(slots)
    assert slots[0] >= timedelta(seconds=1)
    assert slots[-1] - slots[0] == pytest.approx(timedelta(seconds=99 / 100), abs=timedelta(milliseconds=50))


async def test_a_bad_row_fails_alone() -> None:
    store = MemoryTapStore()
    batch = taps(9)
    store.poison.add(batch[4].evidence.tap_id)
    gate = Gate(store)
    gate.open.set()
    async with running(gate) as queue:
        outcomes = await asyncio.gather(*(queue.enter(tap) for tap in batch), return_exceptions=True)
    failed = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)]
    assert failed == [4]
    assert len(store.taps) == 8


async def test_a_cancelled_caller_harms_nobody() -> None:
    store = MemoryTapStore()
    gate = Gate(store)
    async with running(gate) as queue:
        outcomes = [queue.enter(tap) for tap in taps(8)]
        outcomes[3].cancel()
        await turns()
        outcomes[5].cancel()
        gate.open.set()
        stored = await asyncio.gather(*outcomes, return_exceptions=True)
    assert sum(isinstance(each, Stored) for each in stored) == 6


async def test_storage_away_acknowledges_nothing() -> None:
    store = MemoryTapStore()
    store.away = True
    gate = Gate(store)
    gate.open.set()
    async with running(gate) as queue:
        outcomes = await asyncio.gather(*(queue.enter(tap) for tap in taps(12)), return_exceptions=True)
    assert all(isinstance(each, StorageUnavailableError) for each in outcomes)
    assert not store.taps


async def test_drain_commits_what_waits() -> None:
    store = MemoryTapStore()
    gate = Gate(store)
    gate.open.set()
    queue = TapQueue(gate, limits=LIMITS, monotonic=asyncio.get_running_loop().time, jitter=lambda: 0.0)
    outcomes = [queue.enter(tap) for tap in taps(35)]
    await queue.drain()
    assert all(outcome.done() for outcome in outcomes)
    assert len(store.taps) == 35


async def test_the_same_tap_twice_in_a_batch_gets_one_receipt() -> None:
    store = MemoryTapStore()
    store.schools[PERSON] = SCHOOL
    commit = GroupCommit(store=store, sealer=PlainSealer(), book=BOOK, now=lambda: SEVEN)
    tap = taps(1)[0]
    first, second = await commit([tap, tap])
    assert isinstance(first, Stored)
    assert isinstance(second, Stored)
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.receipt == second.receipt


async def test_a_later_repeat_gets_the_first_receipt_and_other_evidence_is_refused() -> None:
    store = MemoryTapStore()
    clock = iter([SEVEN, SEVEN + timedelta(days=40)] + [SEVEN + timedelta(days=41)] * 2)

    def now() -> datetime:
        return next(clock)

    commit = GroupCommit(store=store, sealer=PlainSealer(), book=BOOK, now=now)
    tap = taps(1)[0]
    (first,) = await commit([tap])
    (again,) = await commit([tap])
    assert isinstance(first, Stored)
    assert isinstance(again, Stored)
    assert again.receipt == first.receipt
    assert again.duplicate
    (other,) = await commit([accepted(practice=True)])
    assert isinstance(other, TapIdReusedError)


@given(
    depths=st.lists(st.integers(min_value=0, max_value=5000), min_size=2, max_size=60),
    rate=st.floats(min_value=1, max_value=5000),
    jitter=st.floats(min_value=0, max_value=1),
)
def test_slots_never_coincide_below_the_horizon_and_never_pass_it(
    depths: list[int], rate: float, jitter: float
) -> None:
    slots = Slots(initial_rate=rate, horizon=120.0, jitter=lambda: jitter)
    given_out = [slots.next(1000.0, depth).total_seconds() for depth in depths]
    assert all(0 <= slot <= 120.0 for slot in given_out)
    below = [slot for slot in given_out if slot < 119.0]
    assert all(later - earlier > 0.9 / rate - 1e-6 for earlier, later in pairwise(below)) or any(
        slot >= 119.0 for slot in given_out
    )


def test_the_drain_rate_is_learnt() -> None:
    slots = Slots(initial_rate=100.0, horizon=120.0, jitter=lambda: 0.0)
    for _ in range(40):
        slots.observe(1000, 0.5)
    assert slots.rate == pytest.approx(2000, rel=0.01)


def test_ids_of_the_builders_differ() -> None:
    assert len({tap.evidence.tap_id for tap in taps(50)}) == 50
    assert isinstance(taps(1)[0].evidence.tap_id, UUID)


async def test_a_tap_that_may_not_be_stored_any_more_keeps_the_receipt_it_was_given() -> None:
    store = MemoryTapStore()
    commit = GroupCommit(store=store, sealer=PlainSealer(), book=BOOK, now=lambda: SEVEN)
    stored, fresh = taps(2)
    (first,) = await commit([stored])
    refusal = DeviceRevokedError(revoked_at="2027-03-15")
    late = [replace(tap, refusal=refusal) for tap in (stored, fresh)]
    known, unknown = await commit(late)
    assert isinstance(first, Stored)
    assert isinstance(known, Stored)
    assert (known.receipt, known.duplicate) == (first.receipt, True)
    assert unknown is refusal
    assert fresh.evidence.tap_id not in store.taps
    (other,) = await commit(
        [replace(accepted(tap_id=stored.evidence.tap_id, practice=True), refusal=refusal)]
    )
    assert other is refusal
