"""The durable consumer on real PostgreSQL and NATS: nothing lost, nothing blocked, no event blamed for an outage."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import create_engine
from chassis.jetstream import ConsumerMetrics, Event, NatsConnection, PullConsumer, connect, subject
from chassis.jetstream.poison import purge_poison
from chassis.jetstream.stream import STREAM, ensure_stream, stream_config
from chassis.upsert import upsert_newer
from tests.disturbed import Disturbed, access, administrator_url, plain_client
from tests.outboxes import (
    EVENT_TYPE,
    SCHEMA,
    event,
    in_stream,
    make_relay,
    metric,
    put,
    running,
    until,
)
from tests.parts import Database, Nats

DURABLE = "checkin-things"
UPSERT = upsert_newer(
    "checkin.things", key=["id"], columns={"id": "text", "name": "text", "version": "bigint"}
)


async def store(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """A body is "id:version"; a name of "null" breaks the table's constraint."""
    parts = [_value(each).split(":") for each in events]
    await connection.execute(
        UPSERT,
        {
            "id": [part[0] for part in parts],
            "name": [None if part[0] == "null" else "name" for part in parts],
            "version": [int(part[1]) for part in parts],
        },
    )


def _value(one: Event) -> str:
    assert isinstance(one.message, StringValue)
    return one.message.value


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ConsumerMetrics:
    return ConsumerMetrics(registry)


@pytest.fixture
async def outside(nats: Nats) -> AsyncIterator[Client]:
    client = await plain_client(nats)
    await ensure_stream(client.jetstream(), stream_config())
    yield client
    await client.close()


def make(
    engine: AsyncEngine, connection: NatsConnection, metrics: ConsumerMetrics, **options: Any
) -> PullConsumer:
    return PullConsumer(
        **{
            "engine": engine,
            "schema": SCHEMA,
            "nats": connection,
            "metrics": metrics,
            "durable": DURABLE,
            "subjects": [subject("*", "checkin", "thing_changed")],
            "decode": {EVENT_TYPE: StringValue},
            "apply": store,
            "first_pause": 0.05,
            **options,
        }
    )


async def publish(engine: AsyncEngine, connection: NatsConnection, values: Sequence[str]) -> None:
    await put(engine, [event(value) for value in values])
    assert await make_relay(engine, connection, CollectorRegistry()).drain(10)


async def stored(engine: AsyncEngine) -> dict[str, int]:
    async with engine.begin() as connection:
        rows = await connection.execute(text("SELECT id, version FROM checkin.things"))
        return {row[0]: row[1] for row in rows}


async def poison(engine: AsyncEngine) -> list[Any]:
    async with engine.begin() as connection:
        return list(await connection.execute(text("SELECT * FROM checkin.poison ORDER BY stream_seq")))


async def acked(client: Client) -> bool:
    """Everything in the stream is acknowledged."""
    try:
        info = await client.jetstream().consumer_info(STREAM, DURABLE)
    except NotFoundError:
        return False
    return not info.num_pending and not info.num_ack_pending


def applied(registry: CollectorRegistry) -> float:
    return metric(registry, "hadir_consumer_applied_total", consumer=DURABLE)


async def test_events_are_applied_acknowledged_and_not_sent_again(
    engine: AsyncEngine,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
    registry: CollectorRegistry,
) -> None:
    await publish(engine, connection, [f"{number}:1" for number in range(1300)])
    woken: list[int] = []
    consumer = make(engine, connection, metrics, after_commit=lambda events: woken.append(len(events)))
    async with running(consumer.run()):
        await until(lambda: applied(registry) == 1300)
        await until(lambda: acked(outside))
        await publish(engine, connection, ["late:1"])
        await until(lambda: applied(registry) == 1301)
        await until(lambda: acked(outside))
    assert sum(woken) == 1301
    assert max(woken) <= 500
    # Another process goes on where the first stopped.
    async with running(make(engine, connection, metrics).run()):
        await publish(engine, connection, ["later:1"])
        await until(lambda: applied(registry) == 1302)
    assert len(await stored(engine)) == 1302
    assert metric(registry, "hadir_consumer_redelivered_total", consumer=DURABLE) == 0
    assert metric(registry, "hadir_consumer_last_applied_timestamp_seconds", consumer=DURABLE) > 1e9


async def test_the_first_event_does_not_wait_for_a_batch(
    engine: AsyncEngine, connection: NatsConnection, outside: Client, metrics: ConsumerMetrics
) -> None:
    came = asyncio.Event()
    consumer = make(engine, connection, metrics, after_commit=lambda _events: came.set())
    async with running(consumer.run()):
        await until(lambda: _waits(outside))
        loop = asyncio.get_running_loop()
        for number in range(5):
            came.clear()
            await publish(engine, connection, [f"{number}:1"])
            began = loop.time()
            async with asyncio.timeout(1.0):
                await came.wait()
            assert loop.time() - began < 0.5


async def _waits(client: Client) -> bool:
    try:
        info = await client.jetstream().consumer_info(STREAM, DURABLE)
    except NotFoundError:
        return False
    return bool(info.num_waiting)


async def test_only_the_newest_version_stays_however_events_come(
    engine: AsyncEngine,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
    registry: CollectorRegistry,
) -> None:
    seed = random.randrange(2**32)
    values = [f"{thing}:{version}" for thing in range(40) for version in range(1, 11)] * 2
    random.Random(seed).shuffle(values)
    async with running(make(engine, connection, metrics, batch=37).run()):
        await publish(engine, connection, values)
        await until(lambda: applied(registry) == 800)
    assert await stored(engine) == {str(thing): 10 for thing in range(40)}, f"seed {seed}"


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


async def test_postgresql_killed_and_away_for_longer_than_the_acknowledgement_wait(
    engine: AsyncEngine,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
    registry: CollectorRegistry,
    backends: Disturbed,
) -> None:
    await publish(engine, connection, [f"{number}:1" for number in range(3000)])
    async with running(make(engine, connection, metrics, batch=50, ack_wait=1.0).run()):
        await until(lambda: applied(registry) > 100)
        await backends.stop("postgres")
        await asyncio.sleep(2.5)
        await backends.start("postgres")
        await until(lambda: acked(outside))
    assert len(await stored(engine)) == 3000
    assert await poison(engine) == []


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
        if any(_value(each) == "slow:1" for each in events):
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


async def test_what_was_committed_and_not_acknowledged_comes_again_and_changes_nothing(
    engine: AsyncEngine,
    nats: Nats,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
    registry: CollectorRegistry,
) -> None:
    await publish(engine, connection, [f"{number}:1" for number in range(60)])
    dying = await connect(access(nats, "checkin"), name="dying", registry=CollectorRegistry())

    async def commits_then_dies(connected: AsyncConnection, events: Sequence[Event]) -> None:
        await store(connected, events)
        await dying.stop()

    async with running(make(engine, dying, metrics, apply=commits_then_dies, ack_wait=1.0).run()):
        await until(lambda: applied(registry) > 0)
    first = applied(registry)
    async with running(make(engine, connection, metrics, ack_wait=1.0).run()):
        await until(lambda: acked(outside))
    assert metric(registry, "hadir_consumer_redelivered_total", consumer=DURABLE) >= first
    assert await stored(engine) == {str(number): 1 for number in range(60)}


async def test_a_deleted_consumer_and_a_deleted_stream_are_made_anew(
    engine: AsyncEngine,
    connection: NatsConnection,
    outside: Client,
    metrics: ConsumerMetrics,
) -> None:
    js = outside.jetstream()
    async with running(make(engine, connection, metrics).run()):
        await publish(engine, connection, ["1:1"])
        await until(lambda: _has(engine, "1"))
        await js.delete_consumer(STREAM, DURABLE)
        await publish(engine, connection, ["2:1"])
        await until(lambda: _has(engine, "2"))
        await js.delete_stream(STREAM)
        await publish(engine, connection, ["3:1"])
        await until(lambda: _has(engine, "3"))
    assert await in_stream(outside) == 1


async def _has(engine: AsyncEngine, thing: str) -> bool:
    return thing in await stored(engine)


async def test_nats_absent_at_the_start_then_killed_and_hanging(
    engine: AsyncEngine, nats: Nats, backends: Disturbed, metrics: ConsumerMetrics
) -> None:
    await backends.stop("nats")
    connection = await connect(access(nats, "checkin"), name="test", registry=CollectorRegistry())
    relay = make_relay(engine, connection, CollectorRegistry(), publish_timeout=1.0)
    async with running(make(engine, connection, metrics).run(), relay.run()):
        await put(engine, [event("absent:1")])
        await asyncio.sleep(0.5)
        await backends.start("nats")
        await until(lambda: _has(engine, "absent"))
        await backends.kill("nats")
        await put(engine, [event("killed:1")])
        await backends.ready("nats")
        await until(lambda: _has(engine, "killed"))
        await backends.hang("nats")
        await put(engine, [event("hung:1")])
        await asyncio.sleep(1)
        await backends.resume("nats")
        await until(lambda: _has(engine, "hung"))
    await connection.stop()


async def test_replicas_share_one_durable(
    engine: AsyncEngine,
    nats: Nats,
    connection: NatsConnection,
    outside: Client,
) -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    second = await connect(access(nats, "checkin"), name="second", registry=CollectorRegistry())
    consumers = [
        make(engine, each, ConsumerMetrics(registry), batch=50)
        for each, registry in zip((connection, second), registries, strict=True)
    ]
    async with running(*(consumer.run() for consumer in consumers)):
        await until(lambda: _waits(outside))
        await publish(engine, connection, [f"{number}:1" for number in range(2000)])
        await until(lambda: acked(outside))
    await second.stop()
    assert len(await stored(engine)) == 2000
    counts = [applied(registry) for registry in registries]
    assert sum(counts) == 2000
    assert all(counts)
