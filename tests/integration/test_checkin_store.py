"""checkin's tap store and partitions on real PostgreSQL, with the rights the serving role has and no others."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

import services.checkin
from chassis.database import create_engine, migrate
from chassis.outbox import OutboxRelay
from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from services.checkin.adapters.codec import ReceiptSigner
from services.checkin.adapters.partitions import MONTHS_AHEAD, Partitions, partition_name
from services.checkin.adapters.reading import Reader
from services.checkin.adapters.tap_reads import PostgresTapReads
from services.checkin.adapters.tap_store import PostgresTapStore
from services.checkin.application.commit import GroupCommit, Stored
from services.checkin.application.ports import TapStore
from services.checkin.domain.errors import StorageUnavailableError, TapIdReusedError
from services.checkin.domain.tap import AcceptedTap, Flag, Network
from services.checkin.domain.tap_id import add_months, month_bounds, month_of
from tests.fakes.taps import MemoryTapStore
from tests.parts import Database, MakeDatabase
from tests.unit.checkin.builders import BOOK, PERSON, SEVEN, accepted, tap_id_at

MIGRATIONS = Path(services.checkin.__file__).parent / "migrations"
KEY = ec.derive_private_key(1234567, ec.SECP256R1())
SEALER = ReceiptSigner(KEY, "key-1")


class Silent:
    """Stands for the relay: who publishes is another test's question."""

    def __init__(self) -> None:
        self.notified = 0

    def notify(self) -> None:
        self.notified += 1


class MakeStore(Protocol):
    def __call__(self) -> TapStore: ...


@pytest.fixture(scope="module")
def migrated(make_database: MakeDatabase) -> Database:
    database = make_database()
    for _ in range(2):
        migrate(
            database.owner_url("checkin"),
            schema="checkin",
            script_location=MIGRATIONS,
            runtime_role="hadir_checkin",
        )
    return database


@pytest.fixture
async def engine(migrated: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(migrated.runtime_url("checkin"), pool_size=4, application_name="test")
    yield engine
    await engine.dispose()


def store_on(engine: AsyncEngine) -> PostgresTapStore:
    relay: OutboxRelay = Silent()  # type: ignore[assignment]  # only notify() is used
    taps = Counter("taps", "taps", registry=CollectorRegistry())
    return PostgresTapStore(
        engine, relay, regency="5202", writer="test", retry_after=timedelta(seconds=2), taps=taps
    )


def committing(store: TapStore, now: datetime = SEVEN) -> GroupCommit:
    return GroupCommit(store=store, sealer=SEALER, book=BOOK, now=lambda: now)


def fresh(count: int, moment: datetime = SEVEN) -> list[AcceptedTap]:
    return [
        accepted(tap_id=UUID(int=tap_id_at(moment).int | (uuid4().int & (2**62 - 1)))) for _ in range(count)
    ]


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest, engine: AsyncEngine) -> TapStore:
    """The same promises of the stand-in of the unit tests and of the real one."""
    return MemoryTapStore() if request.param == "memory" else store_on(engine)


async def test_new_taps_are_stored_and_repeats_get_the_identical_receipt(store: TapStore) -> None:
    batch = fresh(20)
    stored = await committing(store)(batch)
    assert all(isinstance(each, Stored) and not each.duplicate for each in stored)
    again = await committing(store, SEVEN + timedelta(days=45))(batch[::-1] + fresh(3))
    assert [each.receipt for each in again[:20]] == [each.receipt for each in stored[::-1]]  # type: ignore[union-attr]
    assert [each.duplicate for each in again] == [True] * 20 + [False] * 3  # type: ignore[union-attr]


async def test_other_evidence_under_a_taken_id_is_refused_alone(store: TapStore) -> None:
    taken, other = fresh(2)
    await committing(store)([taken])
    forged = replace(accepted(tap_id=taken.evidence.tap_id, practice=True))
    outcomes = await committing(store)([forged, other])
    assert isinstance(outcomes[0], TapIdReusedError)
    assert isinstance(outcomes[1], Stored)


async def test_two_replicas_race_for_one_tap_and_give_one_receipt(engine: AsyncEngine) -> None:
    for tap in fresh(10):
        one, other = await asyncio.gather(
            committing(store_on(engine))([tap]),
            committing(store_on(engine), SEVEN + timedelta(seconds=1))([tap]),
        )
        assert one[0].receipt == other[0].receipt  # type: ignore[union-attr]
        assert sorted([one[0].duplicate, other[0].duplicate]) == [False, True]  # type: ignore[union-attr]


async def test_a_tap_its_flags_and_its_event_are_one_transaction(engine: AsyncEngine) -> None:
    tap = accepted(
        tap_id=fresh(1)[0].evidence.tap_id,
        location=None,
        network=Network(tap_pb2.NETWORK_TYPE_CELLULAR_3G, -105),
    )
    await committing(store_on(engine))([tap])
    async with engine.connect() as connection:
        row = (
            await connection.execute(
                text("SELECT flags, evidence, work_date::text FROM checkin.taps WHERE tap_id = :id"),
                {"id": tap.evidence.tap_id},
            )
        ).one()
        payload = await connection.scalar(
            text("SELECT payload FROM checkin.outbox WHERE msg_id = :id"),
            {"id": f"tap-{tap.evidence.tap_id}"},
        )
    assert row[0] == sorted([Flag.NO_LOCATION, Flag.PERSON_UNKNOWN])
    assert row[1] == tap.evidence_bytes
    assert row[2] == "2027-03-15"
    event = events_pb2.TapAccepted.FromString(payload)
    assert event.tap.tap_id == str(tap.evidence.tap_id)
    assert event.network.strength_dbm == -105


async def test_a_failure_after_the_insert_leaves_neither_tap_nor_event(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("between the tap and its event")

    monkeypatch.setattr("services.checkin.adapters.tap_store.enqueue", broken)
    tap = fresh(1)[0]
    with pytest.raises(RuntimeError):
        await committing(store_on(engine))([tap])
    async with engine.connect() as connection:
        count = await connection.scalar(
            text("SELECT count(*) FROM checkin.taps WHERE tap_id = :id"), {"id": tap.evidence.tap_id}
        )
    assert count == 0


async def test_a_commit_of_unknown_outcome_is_repeated_and_gives_the_first_receipt(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit reaches the server and its answer does not: the tap is stored once, its receipt is the stored one."""
    from sqlalchemy.ext.asyncio import AsyncConnection

    real = AsyncConnection.commit
    losses = iter([True, False])

    async def lossy(connection: AsyncConnection) -> None:
        await real(connection)
        if next(losses):
            raise ConnectionResetError("the answer to COMMIT was lost")

    monkeypatch.setattr(AsyncConnection, "commit", lossy)
    tap = fresh(1)[0]
    (outcome,) = await committing(store_on(engine))([tap])
    assert isinstance(outcome, Stored)
    async with engine.connect() as connection:
        content = await connection.scalar(
            text("SELECT receipt_content FROM checkin.taps WHERE tap_id = :id"), {"id": tap.evidence.tap_id}
        )
        fences = await connection.scalar(
            text("SELECT count(*) FROM checkin.commit_fence WHERE writer = 'test'")
        )
    assert content == outcome.receipt.content
    assert fences == 1


async def test_a_database_that_is_away_is_said_so(migrated: Database) -> None:
    url = migrated.runtime_url("checkin").replace(f":{migrated.administrator.port}/", ":1/")
    away = create_engine(url, pool_size=1, application_name="test")
    with pytest.raises(StorageUnavailableError):
        await committing(store_on(away))(fresh(1))
    await away.dispose()


async def test_taps_of_two_months_and_wild_ids_are_each_their_own_key(engine: AsyncEngine) -> None:
    gauge = Gauge("ahead", "ahead", registry=CollectorRegistry())
    assert await Partitions(engine, now=lambda: SEVEN, ahead=gauge).ensure() == MONTHS_AHEAD
    month_end = datetime(2027, 3, 31, 23, 59, 59, 999000, tzinfo=UTC)
    batch = [
        *fresh(1, month_end),
        *fresh(1, month_end + timedelta(milliseconds=1)),
        *fresh(1, datetime(2090, 1, 1, tzinfo=UTC)),
        accepted(tap_id=uuid4()),
    ]
    first = await committing(store_on(engine))(batch)
    again = await committing(store_on(engine), month_end + timedelta(days=1))(batch)
    assert [each.receipt for each in first] == [each.receipt for each in again]  # type: ignore[union-attr]
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT tap_id, tableoid::regclass::text FROM checkin.taps WHERE tap_id = ANY(:ids)"),
            {"ids": [tap.evidence.tap_id for tap in batch]},
        )
        where: dict[UUID, str] = {row[0]: row[1] for row in found}
    assert [where[tap.evidence.tap_id].removeprefix("checkin.") for tap in batch] == [
        "taps_2027_03",
        "taps_2027_04",
        "taps_default",
        "taps_default",
    ]


async def test_a_month_takes_its_rows_out_of_default(engine: AsyncEngine) -> None:
    moment = datetime(2031, 7, 15, tzinfo=UTC)
    wild = fresh(3, moment)
    stored = await committing(store_on(engine))(wild)
    gauge = Gauge("ahead", "ahead", registry=CollectorRegistry())
    makers = [Partitions(engine, now=lambda: moment, ahead=gauge).ensure() for _ in range(3)]
    assert set(await asyncio.gather(*makers)) == {MONTHS_AHEAD}
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT DISTINCT tableoid::regclass::text FROM checkin.taps WHERE tap_id = ANY(:ids)"),
            {"ids": [tap.evidence.tap_id for tap in wild]},
        )
        assert [row.removeprefix("checkin.") for row in found.scalars()] == [partition_name(month_of(moment))]
    again = await committing(store_on(engine))(wild)
    assert [each.receipt for each in again] == [each.receipt for each in stored]  # type: ignore[union-attr]


async def test_the_serving_role_can_make_months_and_nothing_else(
    engine: AsyncEngine, migrated: Database
) -> None:
    lower, upper = month_bounds(add_months(month_of(SEVEN), 60))
    statements = [
        "CREATE TABLE checkin.mine (a int)",
        "DELETE FROM checkin.taps",
        "UPDATE checkin.taps SET minutes = 0",
        f"SELECT checkin.ensure_partition('taps; drop', '{lower}', '{upper}')",
    ]
    for statement in statements:
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError):
                await connection.execute(text(statement))
    stranger = await migrated.connect("hadir_reporting")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await stranger.fetch("SELECT * FROM checkin.taps")
    await stranger.close()


async def test_reads_give_a_day_in_order_and_a_listing_without_gaps(engine: AsyncEngine) -> None:
    reads = PostgresTapReads(
        Reader(engine, concurrent=2, most_waiting=10, come_back=lambda: timedelta(seconds=1)), regency="5202"
    )
    person = uuid4()
    batch = [
        accepted(
            tap_id=fresh(1)[0].evidence.tap_id, official=SEVEN + timedelta(minutes=count), person_id=person
        )
        for count in (5, 1, 3)
    ]
    stored = await committing(store_on(engine))(batch)
    day = await reads.of_day(person, datetime(2027, 3, 15, tzinfo=UTC).date(), 100)
    assert list(day) == [stored[index].receipt for index in (1, 2, 0)]  # type: ignore[union-attr]
    assert not await reads.of_day(PERSON, datetime(2027, 3, 20, tzinfo=UTC).date(), 100)
    listed = [tap async for taps in reads.listing(None, None, None, practice=False, batch=2) for tap in taps]
    ids = [tap_pb2.ReceiptContent.FromString(tap.receipt.content).tap_id for tap in listed]
    assert ids == sorted(ids)
    assert {str(tap.evidence.tap_id) for tap in batch} <= set(ids)
    half = UUID(ids[len(ids) // 2])
    rest = [tap async for taps in reads.listing(None, None, half, practice=False, batch=500) for tap in taps]
    assert len(rest) == len(ids) - len(ids) // 2 - 1
