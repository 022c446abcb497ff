"""The connection to NATS, and the stream as several services make it at once."""

import asyncio
import time
from dataclasses import replace
from functools import partial

from nats.aio.client import Client
from nats.js.api import StreamConfig
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.jetstream import NatsUnavailableError, connect
from chassis.jetstream.connection import NatsConnection
from chassis.jetstream.stream import MAX_BYTES, STREAM, ensure_stream, stream_config, subject
from tests.disturbed import Disturbed, access, plain_client
from tests.outboxes import metric, until
from tests.parts import Nats


async def test_a_service_starts_and_stops_without_nats(nats: Nats, backends: Disturbed) -> None:
    await backends.stop("nats")
    registry = CollectorRegistry()
    connection = await connect(access(nats), name="test", registry=registry)
    assert not await connection.wait_connected(0.3)
    try:
        connection.client()
    except NatsUnavailableError:
        pass
    else:
        raise AssertionError("a client without a connection")
    assert metric(registry, "hadir_nats_connected") == 0
    await backends.start("nats")
    assert await connection.wait_connected(10)
    assert metric(registry, "hadir_nats_connected") == 1
    await backends.stop("nats")
    await until(lambda: not connection.connected)
    began = time.monotonic()
    await connection.stop()
    await connection.stop()
    assert time.monotonic() - began < 2


async def test_it_connects_again_after_each_loss(nats: Nats, backends: Disturbed) -> None:
    registry = CollectorRegistry()
    connection = await connect(access(nats), name="test", registry=registry)
    for losses in range(3):
        await until(lambda: connection.connected)
        first = connection.client()
        await backends.kill("nats")
        await backends.ready("nats")
        await until(partial(_another, connection, first))
        assert metric(registry, "hadir_nats_connections_total") >= losses + 2
        await connection.jetstream().account_info()
    await connection.stop()


def _another(connection: NatsConnection, lost: Client) -> bool:
    return connection.connected and connection.client() is not lost


async def test_a_refused_password_is_tried_again_without_haste(nats: Nats) -> None:
    registry = CollectorRegistry()
    wrong = replace(access(nats, "checkin"), nats_password=SecretStr("wrong"))
    connection = await connect(wrong, name="test", registry=registry)
    cpu = time.process_time()
    assert not await connection.wait_connected(1.5)
    assert time.process_time() - cpu < 0.5
    assert metric(registry, "hadir_nats_connections_total") == 0
    await connection.stop()


async def test_any_of_several_servers_will_do(nats: Nats) -> None:
    settings = replace(access(nats), nats_url=f"nats://127.0.0.1:1,{nats.url}")
    connection = await connect(settings, name="test", registry=CollectorRegistry())
    assert await connection.wait_connected(10)
    await connection.stop()


async def test_a_hanging_server_is_given_up(nats: Nats, backends: Disturbed) -> None:
    await backends.hang("nats")
    connection = await connect(access(nats), name="test", registry=CollectorRegistry())
    assert not await connection.wait_connected(1)
    await backends.resume("nats")
    assert await connection.wait_connected(15)
    await backends.hang("nats")
    began = time.monotonic()
    await connection.stop()
    assert time.monotonic() - began < 8


async def test_many_services_make_the_stream_at_once_and_change_it_later(nats: Nats) -> None:
    services: list[NatsConnection] = [
        await connect(access(nats, user), name=user, registry=CollectorRegistry())
        for user in ("auth", "checkin", "reporting", "checkin", "reporting")
    ]
    for connection in services:
        assert await connection.wait_connected(5)
    await asyncio.gather(*(ensure_stream(each.jetstream(), stream_config()) for each in services))
    js = services[1].jetstream()
    on = subject("5202", "checkin", "tap_accepted")
    await js.publish(on, b"kept", headers={"Nats-Msg-Id": "1"})
    greater = stream_config(max_bytes=MAX_BYTES * 2)
    await asyncio.gather(*(ensure_stream(each.jetstream(), greater) for each in services))
    info = await js.stream_info(STREAM)
    assert info.state.messages == 1
    assert _wanted(info.config) == _wanted(greater)
    assert (await js.publish(on, b"kept", headers={"Nats-Msg-Id": "1"})).duplicate
    for connection in services:
        await connection.stop()


def _wanted(config: StreamConfig) -> dict[str, object]:
    names = (
        "subjects",
        "max_age",
        "max_bytes",
        "max_msg_size",
        "duplicate_window",
        "discard",
        "allow_atomic",
    )
    return {name: getattr(config, name) for name in names}


async def test_a_stream_that_is_as_it_should_be_is_not_touched(nats: Nats) -> None:
    client = await plain_client(nats)
    js = client.jetstream()
    updates = 0
    subscription = await client.subscribe("$JS.EVENT.ADVISORY.STREAM.UPDATED.>")
    for _ in range(3):
        await ensure_stream(js, stream_config())
    await client.flush()
    updates = subscription.pending_msgs
    await client.close()
    assert updates == 0
