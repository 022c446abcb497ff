"""Which events of a batch are applied and which are set aside, for any mixture of good, bad and unlucky ones."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.jetstream import ConsumerMetrics, Event
from chassis.jetstream.applier import BatchApplier, Item


class FakeEngine:
    """Transactions over a list: what a failed one did is forgotten. Away for the transactions numbered in `away`."""

    def __init__(self, away: frozenset[int] = frozenset()) -> None:
        self.committed: list[Any] = []
        self.transactions = 0
        self.pending: list[Any] = []
        self._away = away

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["FakeEngine"]:
        self.transactions += 1
        if self.transactions in self._away:
            raise asyncpg.CannotConnectNowError("57P03")
        self.pending = []
        yield self
        self.committed += self.pending

    async def execute(self, _statement: object, parameters: dict[str, list[Any]]) -> None:
        """The poison table's insert: remembers the places in the stream."""
        self.pending += [("poison", seq) for seq in parameters["stream_seq"]]


def item(seq: int) -> Item:
    reply = f"$JS.ACK.HADIR.durable.1.{seq}.{seq}.1751328000000000000.0"
    message = Msg(_client=cast("Any", None), subject="s", reply=reply, data=b"", headers={"ce-id": str(seq)})
    event = Event(
        type="t",
        msg_id=str(seq),
        subject="s",
        source="x",
        message=StringValue(),
        stream_seq=seq,
        time=datetime(2026, 7, 1, tzinfo=UTC),
        deliveries=1,
    )
    return Item(message, event)


class Run:
    """One batch through the applier; `bad` always fail, `unlucky` fail when first tried."""

    def __init__(self, bad: set[int], unlucky: set[int], away: frozenset[int], tries: int) -> None:
        self.engine = FakeEngine(away)
        self.acknowledged: list[int] = []
        self.told: list[int] = []
        self.attempts: Counter[int] = Counter()
        self._bad = bad
        self._unlucky = set(unlucky)
        self.applier = BatchApplier(
            engine=cast("AsyncEngine", self.engine),
            schema="checkin",
            durable="durable",
            apply=self._apply,
            acknowledge=self._acknowledge,
            after_commit=lambda events: self.told.extend(event.stream_seq for event in events),
            metrics=ConsumerMetrics(CollectorRegistry()),
            max_tries=tries,
            first_pause=0.0,
        )

    async def _apply(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        engine = cast("FakeEngine", connection)
        places = [event.stream_seq for event in events]
        for place in places:
            self.attempts[place] += 1
            if place in self._bad:
                raise ValueError("bad")
            if place in self._unlucky:
                self._unlucky.discard(place)
                raise asyncpg.DeadlockDetectedError("40P01")
            engine.pending.append(("applied", place))

    async def _acknowledge(self, messages: Sequence[Msg]) -> None:
        self.acknowledged += [message.metadata.sequence.stream for message in messages]


@settings(max_examples=150)
@given(
    count=st.integers(0, 70),
    bad=st.sets(st.integers(1, 70), max_size=12),
    unlucky=st.sets(st.integers(1, 70), max_size=12),
    away=st.frozensets(st.integers(1, 60), max_size=12),
    tries=st.integers(2, 4),
)
def test_every_event_is_applied_or_set_aside_exactly_once(
    count: int, bad: set[int], unlucky: set[int], away: frozenset[int], tries: int
) -> None:
    run = Run(bad, unlucky, away, tries)
    everything = set(range(1, count + 1))
    asyncio.run(run.applier.apply([item(seq) for seq in sorted(everything)]))
    expected = Counter(("applied", seq) for seq in everything - bad)
    expected.update(("poison", seq) for seq in everything & bad)
    assert Counter(run.engine.committed) == expected
    assert sorted(run.acknowledged) == sorted(everything)
    assert sorted(run.told) == sorted(everything - bad)


def test_one_bad_event_among_many_costs_few_transactions() -> None:
    run = Run({333}, set(), frozenset(), 3)
    asyncio.run(run.applier.apply([item(seq) for seq in range(1, 501)]))
    assert run.engine.transactions <= 2 * 9 + 1 + 2 + 1


def test_a_database_away_is_nobodys_fault() -> None:
    run = Run(set(), set(), frozenset(range(1, 30)), 2)
    asyncio.run(run.applier.apply([item(1)]))
    assert run.engine.committed == [("applied", 1)]
    assert run.attempts[1] == 1
