"""Events that cannot be applied: set aside with what is needed to replay them, and in nobody's way."""

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.wrappers_pb2 import StringValue
from nats.aio.client import Client
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import create_engine
from chassis.jetstream import ConsumerMetrics, Event, NatsConnection, subject
from chassis.jetstream.poison import purge_poison
from tests.consumers import DURABLE, acked, make, poison, publish, store, stored, value_of
from tests.disturbed import administrator_url
from tests.outboxes import (
    EVENT_TYPE,
    SCHEMA,
    metric,
    running,
    until,
)
from tests.parts import Database


async def test_a_poison_event_is_set_aside_and_the_others_are_applied(
    engine: AsyncEngine,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
    registry: CollectorRegistry,
) -> None:
    values = [f"{number}:1" for number in range(200)]
    values[70] = "null:1"  # refused by the table
    values[140] = "no number"  # raises in the handler
    await publish(engine, connection, values)
    async with running(make(engine, connection, metrics, max_tries=2).run()):
        await until(lambda: acked(outside))
        await publish(engine, connection, ["after:1"])
        await until(lambda: acked(outside))
    assert len(await stored(engine)) == 199
    found = await poison(engine)
    assert [(row.stream_seq, row.reason, row.tries, row.error) for row in found] == [
        (71, "refused", 2, "IntegrityError 23502"),
        (141, "refused", 2, "IndexError"),
    ]
    assert StringValue.FromString(found[0].payload).value == "null:1"
    assert found[0].headers["ce-type"] == EVENT_TYPE
    assert metric(registry, "hadir_consumer_poison_total", consumer=DURABLE, reason="refused") == 2


async def test_what_cannot_be_decoded_is_set_aside_at_once(
    engine: AsyncEngine,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
    registry: CollectorRegistry,
) -> None:
    js = outside.jetstream()
    good = {"ce-id": "1", "ce-type": EVENT_TYPE, "ce-source": "/x", "ce-time": "2026-07-01T07:00:00Z"}
    body = StringValue(value="good:1").SerializeToString()
    on = subject("5202", "checkin", "thing_changed")
    bad: list[tuple[bytes, dict[str, str] | None]] = [
        (b"\xff\xff\xff", {**good, "ce-id": "2"}),
        (body, None),
        (body, {**good, "ce-id": "3", "ce-type": "hadir.events.v1.Unknown"}),
        (body, {**good, "ce-id": "4", "ce-time": "yesterday"}),
        (body, {**good, "ce-id": "nul\x00", "ce-type": "nul\x00\udcff" + "x" * 900}),
        (body, {"ce-type": EVENT_TYPE}),
    ]
    for data, headers in bad:
        clean = {
            name: value.encode("utf-8", "surrogateescape").decode("latin-1")
            for name, value in (headers or {}).items()
        }
        await js.publish(on, data, headers=clean or None)
    await js.publish(on, body, headers=good)
    async with running(make(engine, connection, metrics).run()):
        await until(lambda: acked(outside))
    assert await stored(engine) == {"good": 1}
    assert [row.reason for row in await poison(engine)] == ["undecodable"] * len(bad)
    assert metric(registry, "hadir_consumer_poison_total", consumer=DURABLE, reason="undecodable") == len(bad)


async def test_poison_is_kept_for_a_time_only(
    engine: AsyncEngine, connection: NatsConnection, outside: Client, metrics: ConsumerMetrics
) -> None:
    await publish(engine, connection, ["null:1", "null:2", "null:3"])
    async with running(make(engine, connection, metrics, max_tries=1).run()):
        await until(lambda: acked(outside))
    async with engine.begin() as connected:
        await connected.execute(
            text("UPDATE checkin.poison SET created_at = now() - make_interval(days => 88 + stream_seq::int)")
        )
        assert await purge_poison(connected, SCHEMA, keep=timedelta(days=90), batch=10) == 2
    assert [row.stream_seq for row in await poison(engine)] == [1]


async def test_everything_poison_is_set_aside_without_waiting_long(
    engine: AsyncEngine, connection: NatsConnection, outside: Client, metrics: ConsumerMetrics
) -> None:
    await publish(engine, connection, [f"null:{number}" for number in range(300)])
    async with running(make(engine, connection, metrics).run()):
        await until(lambda: acked(outside), seconds=30)
    assert len(await poison(engine)) == 300


async def test_a_missing_table_is_the_deployments_fault_not_the_events(
    engine: AsyncEngine,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
    registry: CollectorRegistry,
    database: Database,
) -> None:
    administrator = create_engine(administrator_url(database), pool_size=1, application_name="test")
    await publish(engine, connection, ["1:1"])
    async with administrator.begin() as connected:
        await connected.execute(text("ALTER TABLE checkin.things RENAME TO things_later"))
    async with running(make(engine, connection, metrics).run()):
        await until(
            lambda: metric(registry, "hadir_consumer_failures_total", consumer=DURABLE, kind="away") >= 3
        )
        async with administrator.begin() as connected:
            await connected.execute(text("ALTER TABLE checkin.things_later RENAME TO things"))
        await until(lambda: acked(outside))
    await administrator.dispose()
    assert await stored(engine) == {"1": 1}
    assert await poison(engine) == []


async def test_an_event_whose_statement_never_ends_is_set_aside(
    migrated: Database,
    engine: AsyncEngine,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
) -> None:
    async def slow(connected: AsyncConnection, events: Sequence[Event]) -> None:
        if any(value_of(each) == "slow:1" for each in events):
            await connected.execute(text("SELECT pg_sleep(3)"))
        await store(connected, events)

    impatient = create_engine(
        migrated.runtime_url("checkin"), pool_size=2, application_name="test", statement_timeout=0.2
    )
    await publish(engine, connection, ["1:1", "slow:1", "2:1"])
    async with running(make(impatient, connection, metrics, apply=slow, max_tries=2).run()):
        await until(lambda: acked(outside))
    await impatient.dispose()
    assert await stored(engine) == {"1": 1, "2": 1}
    assert [row.error for row in await poison(engine)] == ["DBAPIError 57014"]
