"""The outbox and its relay on real PostgreSQL and NATS: whatever goes away, each event is in the stream, once."""

import asyncio
import time
from collections import Counter
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.jetstream import NatsConnection, connect
from chassis.jetstream.publish import publish
from chassis.jetstream.stream import STREAM, ensure_stream, stream_config
from chassis.outbox import enqueue
from chassis.outbox.relay import _outgoing
from chassis.outbox.store import claim, purge
from tests.disturbed import Disturbed, access, plain_client
from tests.outboxes import (
    EVENT_TYPE,
    SCHEMA,
    all_messages,
    bodies,
    event,
    in_stream,
    make_relay,
    metric,
    put,
    running,
    unsent,
    until,
)
from tests.parts import Nats


def names(count: int) -> list[str]:
    return [f"event {number}" for number in range(count)]


async def test_committed_events_are_published_once_with_cloud_event_headers(
    engine: AsyncEngine, connection: NatsConnection, nats: Nats, registry: CollectorRegistry
) -> None:
    relay = make_relay(engine, connection, registry)
    async with running(relay.run()):
        await put(engine, [event(name, msg_id=name.replace(" ", "-")) for name in names(1200)])
        relay.notify()
        await until(lambda: metric(registry, "hadir_outbox_published_total") == 1200)
    assert await unsent(engine) == 0
    client = await plain_client(nats)
    messages = await all_messages(client)
    await client.close()
    assert bodies(messages) == Counter(names(1200))
    headers = messages[0].headers
    assert headers is not None
    assert {name: headers[name] for name in headers if not name.startswith("Nats-Batch")} == {
        "Nats-Msg-Id": "event-0",
        "Nats-Expected-Stream": STREAM,
        "ce-specversion": "1.0",
        "ce-id": "event-0",
        "ce-type": EVENT_TYPE,
        "ce-source": "/hadir/5202/checkin",
        "ce-time": "2026-07-01T23:00:00.000001Z",
        "content-type": "application/protobuf",
    }


async def test_what_is_rolled_back_is_never_published(
    engine: AsyncEngine, connection: NatsConnection, nats: Nats, registry: CollectorRegistry
) -> None:
    async with engine.connect() as transaction:
        await enqueue(transaction, SCHEMA, [event("never")])
        await transaction.rollback()
    await put(engine, [event("kept")])
    assert await make_relay(engine, connection, registry).drain(5)
    client = await plain_client(nats)
    assert bodies(await all_messages(client)) == Counter({"kept": 1})
    await client.close()


async def test_two_relays_share_the_work_and_publish_nothing_twice(
    engine: AsyncEngine, connection: NatsConnection, nats: Nats
) -> None:
    await put(engine, [event(name) for name in names(4000)])
    registries = [CollectorRegistry(), CollectorRegistry()]
    relays = [make_relay(engine, connection, registry, batch=100) for registry in registries]
    async with running(*(relay.run() for relay in relays)):
        await until(lambda: sum(metric(one, "hadir_outbox_published_total") for one in registries) == 4000)
    assert all(metric(registry, "hadir_outbox_published_total") > 0 for registry in registries)
    assert sum(metric(registry, "hadir_outbox_duplicates_total") for registry in registries) == 0
    client = await plain_client(nats)
    assert bodies(await all_messages(client)) == Counter(names(4000))
    await client.close()


async def test_nats_killed_and_stopped_while_events_come(
    engine: AsyncEngine,
    connection: NatsConnection,
    nats: Nats,
    backends: Disturbed,
    registry: CollectorRegistry,
) -> None:
    relays = [make_relay(engine, connection, each, batch=50) for each in (registry, CollectorRegistry())]
    written = 0
    enough = asyncio.Event()

    async def write() -> None:
        nonlocal written
        while not enough.is_set():
            await put(engine, [event(f"event {written + number}") for number in range(20)])
            written += 20
            for relay in relays:
                relay.notify()
            await asyncio.sleep(0.01)

    async with running(*(relay.run() for relay in relays)):
        writing = asyncio.create_task(write())
        try:
            await until(lambda: metric(registry, "hadir_outbox_published_total") > 200)
            await backends.kill("nats")
            await backends.ready("nats")
            await until(lambda: connection.connected)
            seen = metric(registry, "hadir_outbox_published_total")
            await until(lambda: metric(registry, "hadir_outbox_published_total") > seen + 200)
            await backends.stop("nats")
            await asyncio.sleep(1)
            await backends.start("nats")
            await asyncio.sleep(0.5)
        finally:
            enough.set()
            await writing
        await until(lambda: _none_left(engine))
    client = await plain_client(nats)
    assert bodies(await all_messages(client)) == Counter(names(written))
    await client.close()


async def _none_left(engine: AsyncEngine) -> bool:
    return await unsent(engine) == 0


async def test_without_nats_nothing_is_lost_locked_or_busy(
    engine: AsyncEngine, nats: Nats, backends: Disturbed, registry: CollectorRegistry
) -> None:
    await backends.stop("nats")
    connection = await connect(access(nats, "checkin"), name="test", registry=registry)
    relay = make_relay(engine, connection, registry)
    async with running(relay.run()):
        await put(engine, [event(name) for name in names(300)])
        relay.notify()
        cpu = time.process_time()
        await asyncio.sleep(2)
        assert time.process_time() - cpu < 0.4
        assert not await relay.drain(0.2)
        async with engine.begin() as transaction:
            claimable = await claim(transaction, SCHEMA, batch=500, deferred=())
            assert len(claimable) == 300
            await transaction.rollback()
        await until(lambda: metric(registry, "hadir_outbox_unsent") == 300)
        assert metric(registry, "hadir_outbox_oldest_unsent_age_seconds") > 1
        await backends.start("nats")
        await until(lambda: metric(registry, "hadir_outbox_published_total") == 300)
    await connection.stop()


async def test_a_relay_that_dies_between_acknowledgement_and_mark_doubles_nothing(
    engine: AsyncEngine, connection: NatsConnection, nats: Nats, registry: CollectorRegistry
) -> None:
    await put(engine, [event(name) for name in names(30)])
    assert await connection.wait_connected(5)
    await ensure_stream(connection.jetstream(), stream_config())
    async with engine.connect() as transaction:
        rows = await claim(transaction, SCHEMA, batch=20, deferred=())
        outcome = await publish(
            connection.client(), connection.jetstream(), STREAM, [_outgoing(row) for row in rows], timeout=5
        )
        assert len(outcome.acked) == 20
        # What the server does for a process that is gone.
        await transaction.rollback()
    assert await make_relay(engine, connection, registry).drain(5)
    assert await unsent(engine) == 0
    assert metric(registry, "hadir_outbox_duplicates_total") == 20
    client = await plain_client(nats)
    assert bodies(await all_messages(client)) == Counter(names(30))
    await client.close()


async def test_a_server_that_hangs_holds_no_row_for_long(
    engine: AsyncEngine,
    connection: NatsConnection,
    nats: Nats,
    backends: Disturbed,
    registry: CollectorRegistry,
) -> None:
    relay = make_relay(engine, connection, registry, publish_timeout=1.0)
    await put(engine, [event("before")])
    assert await relay.drain(5)
    await put(engine, [event(name) for name in names(10)])
    await backends.hang("nats")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await relay.publish_batch()
    assert time.monotonic() - began < 3
    async with engine.begin() as transaction:
        assert len(await claim(transaction, SCHEMA, batch=500, deferred=())) == 10
        await transaction.rollback()
    async with running(relay.run()):
        await asyncio.sleep(2)
        await backends.resume("nats")
        await until(lambda: _none_left(engine))
    client = await plain_client(nats)
    assert bodies(await all_messages(client)) == Counter([*names(10), "before"])
    await client.close()


async def test_postgresql_restarted_while_events_go_out(
    engine: AsyncEngine,
    connection: NatsConnection,
    nats: Nats,
    backends: Disturbed,
    registry: CollectorRegistry,
) -> None:
    await put(engine, [event(name) for name in names(3000)])
    relay = make_relay(engine, connection, registry, batch=20)
    async with running(relay.run()):
        await until(lambda: metric(registry, "hadir_outbox_published_total") > 300)
        await backends.kill("postgres")
        await backends.ready("postgres")
        await until(lambda: _none_left(engine))
    client = await plain_client(nats)
    assert bodies(await all_messages(client)) == Counter(names(3000))
    await client.close()


async def test_what_the_stream_refuses_does_not_hold_up_the_rest(
    engine: AsyncEngine, connection: NatsConnection, nats: Nats, registry: CollectorRegistry
) -> None:
    # The service's user may not publish in another's name.
    foreign = [event(f"foreign {number}", on="hadir.v1.5202.auth.person_changed") for number in range(5)]
    await put(engine, [*foreign[:3], *(event(name) for name in names(40)), *foreign[3:]])
    relay = make_relay(engine, connection, registry, batch=10, publish_timeout=1.0)
    async with running(relay.run()):
        await until(lambda: metric(registry, "hadir_outbox_published_total") == 40)
    assert await unsent(engine) == 5
    client = await plain_client(nats)
    assert bodies(await all_messages(client)) == Counter(names(40))
    await client.close()


async def test_a_stream_deleted_under_a_running_relay_is_made_anew(
    engine: AsyncEngine, connection: NatsConnection, nats: Nats, registry: CollectorRegistry
) -> None:
    relay = make_relay(engine, connection, registry)
    client = await plain_client(nats)
    async with running(relay.run()):
        await put(engine, [event("first")])
        await until(lambda: metric(registry, "hadir_outbox_published_total") == 1)
        await client.jetstream().delete_stream(STREAM)
        await put(engine, [event("second")])
        await until(lambda: metric(registry, "hadir_outbox_published_total") == 2)
    assert await in_stream(client) == 1
    await client.close()


async def test_purging_keeps_seven_days_and_everything_unsent(engine: AsyncEngine) -> None:
    await put(engine, [event(name) for name in names(100)])
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE checkin.outbox SET created_at = now() - interval '30 days', sent_at = CASE"
                " WHEN id % 4 = 0 THEN now() - interval '8 days' WHEN id % 4 = 1 THEN now() - interval '6 days' END"
            )
        )
        assert await purge(connection, SCHEMA, keep=timedelta(days=7), batch=50) in (12, 13)
        assert await purge(connection, SCHEMA, keep=timedelta(days=7), batch=500) in (12, 13)
        assert await purge(connection, SCHEMA, keep=timedelta(days=7), batch=500) == 0
        assert await connection.scalar(text("SELECT count(*) FROM checkin.outbox")) == 75
        assert (
            await connection.scalar(text("SELECT count(*) FROM checkin.outbox WHERE sent_at IS NULL")) == 50
        )
