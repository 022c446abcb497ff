"""A consumer of "things", and what tests ask of it. Owner: chassis-data."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.jetstream import ConsumerMetrics, Event, NatsConnection, PullConsumer, subject
from chassis.jetstream.stream import STREAM
from chassis.upsert import upsert_newer
from tests.outboxes import (
    EVENT_TYPE,
    SCHEMA,
    event,
    make_relay,
    metric,
    put,
)

DURABLE = "checkin-things"
UPSERT = upsert_newer(
    "checkin.things", key=["id"], columns={"id": "text", "name": "text", "version": "bigint"}
)


async def store(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """A body is "id:version"; a name of "null" breaks the table's constraint."""
    parts = [value_of(each).split(":") for each in events]
    await connection.execute(
        UPSERT,
        {
            "id": [part[0] for part in parts],
            "name": [None if part[0] == "null" else "name" for part in parts],
            "version": [int(part[1]) for part in parts],
        },
    )


def value_of(one: Event) -> str:
    assert isinstance(one.message, StringValue)
    return one.message.value


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


async def waits(client: Client) -> bool:
    try:
        info = await client.jetstream().consumer_info(STREAM, DURABLE)
    except NotFoundError:
        return False
    return bool(info.num_waiting)


async def has(engine: AsyncEngine, thing: str) -> bool:
    return thing in await stored(engine)
