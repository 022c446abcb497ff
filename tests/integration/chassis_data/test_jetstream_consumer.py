"""The durable consumer on real PostgreSQL and NATS: nothing lost, nothing blocked, no event blamed for an outage."""

import asyncio
import random
from collections.abc import Sequence

from nats.aio.client import Client
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.jetstream import ConsumerMetrics, Event, NatsConnection, connect
from chassis.jetstream.stream import STREAM
from tests.consumers import (
    DURABLE,
    acked,
    applied,
    has,
    make,
    poison,
    publish,
    store,
    stored,
    waits,
)
from tests.disturbed import Disturbed, access
from tests.outboxes import (
    event,
    in_stream,
    make_relay,
    metric,
    put,
    running,
    until,
)
from tests.parts import Nats


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
        await until(lambda: waits(outside))
        loop = asyncio.get_running_loop()
        for number in range(5):
            came.clear()
            await publish(engine, connection, [f"{number}:1"])
            began = loop.time()
            async with asyncio.timeout(1.0):
                await came.wait()
            assert loop.time() - began < 0.5


async def test_a_reader_that_may_lag_gets_larger_batches(
    engine: AsyncEngine, connection: NatsConnection, outside: Client, metrics: ConsumerMetrics
) -> None:
    batches: list[int] = []
    consumer = make(
        engine,
        connection,
        metrics,
        linger=0.5,
        batch=40,
        after_commit=lambda events: batches.append(len(events)),
    )
    async with running(consumer.run()):
        await until(lambda: waits(outside))
        for number in range(4):
            await publish(engine, connection, [f"{number}:1"])
        await until(lambda: sum(batches) == 4)
        assert len(batches) == 1
        # A full batch waits for nobody.
        loop = asyncio.get_running_loop()
        began = loop.time()
        await publish(engine, connection, [f"more {number}:1" for number in range(400)])
        await until(lambda: sum(batches) >= 404)
        assert loop.time() - began < 3
    assert batches.count(40) >= 9


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
        await until(lambda: has(engine, "1"))
        await js.delete_consumer(STREAM, DURABLE)
        await publish(engine, connection, ["2:1"])
        await until(lambda: has(engine, "2"))
        await js.delete_stream(STREAM)
        await publish(engine, connection, ["3:1"])
        await until(lambda: has(engine, "3"))
    assert await in_stream(outside) == 1


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
        await until(lambda: has(engine, "absent"))
        await backends.kill("nats")
        await put(engine, [event("killed:1")])
        await backends.ready("nats")
        await until(lambda: has(engine, "killed"))
        await backends.hang("nats")
        await put(engine, [event("hung:1")])
        await asyncio.sleep(1)
        await backends.resume("nats")
        await until(lambda: has(engine, "hung"))
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
        await until(lambda: waits(outside))
        await publish(engine, connection, [f"{number}:1" for number in range(2000)])
        await until(lambda: acked(outside))
    await second.stop()
    assert len(await stored(engine)) == 2000
    counts = [applied(registry) for registry in registries]
    assert sum(counts) == 2000
    assert all(counts)
