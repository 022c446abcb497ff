"""What tests of outbox and consumers share: events, a relay that runs, a look into the stream. Owner: chassis-data."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from google.protobuf.wrappers_pb2 import StringValue
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.jetstream import STREAM, NatsConnection, subject
from chassis.outbox import OutboxEvent, OutboxRelay, enqueue

SCHEMA = "checkin"
EVENT_TYPE = "google.protobuf.StringValue"


def event(value: str = "x", *, msg_id: str | None = None, on: str | None = None) -> OutboxEvent:
    """An event whose body is `value`."""
    return OutboxEvent(
        subject=on or subject("5202", "checkin", "thing_changed"),
        msg_id=msg_id or str(uuid4()),
        event_type=EVENT_TYPE,
        source="/hadir/5202/checkin",
        payload=StringValue(value=value).SerializeToString(),
        occurred_at=datetime(2026, 7, 1, 23, 0, 0, 1, tzinfo=UTC),
    )


async def put(engine: AsyncEngine, events: Sequence[OutboxEvent]) -> None:
    """Commit events."""
    async with engine.begin() as connection:
        await enqueue(connection, SCHEMA, events)


async def unsent(engine: AsyncEngine) -> int:
    """How many wait."""
    async with engine.begin() as connection:
        found = await connection.scalar(text("SELECT count(*) FROM checkin.outbox WHERE sent_at IS NULL"))
    assert isinstance(found, int)
    return found


def make_relay(
    engine: AsyncEngine, connection: NatsConnection, registry: CollectorRegistry, **options: Any
) -> OutboxRelay:
    """A relay that looks often."""
    return OutboxRelay(
        engine=engine,
        schema=SCHEMA,
        nats=connection,
        registry=registry,
        **{"poll": 0.2, "linger": 0.0, **options},
    )


@asynccontextmanager
async def running(*runs: Any) -> AsyncIterator[None]:
    """Run these in the background; one that ends by itself fails the test."""
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        yield
        assert not [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Callable[[], Any], *, seconds: float = 20.0) -> None:
    """Wait until `holds` (a function, or one that returns an awaitable) says so."""
    async with asyncio.timeout(seconds):
        while True:
            value = holds()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return
            await asyncio.sleep(0.02)


async def in_stream(client: Client) -> int:
    """Messages in the stream; 0 when there is none."""
    try:
        info = await client.jetstream().stream_info(STREAM)
    except NotFoundError:
        return 0
    return info.state.messages


async def all_messages(client: Client) -> list[Msg]:
    """The whole stream, in order."""
    js = client.jetstream()
    count = await in_stream(client)
    messages: list[Msg] = []
    if count:
        subscription = await js.subscribe("hadir.v1.>", ordered_consumer=True, stream=STREAM)
        messages = [await subscription.next_msg(timeout=5) for _ in range(count)]
        await subscription.unsubscribe()
    return messages


def bodies(messages: Iterable[Msg]) -> Counter[str]:
    """How often each body is there."""
    return Counter(StringValue.FromString(message.data).value for message in messages)


def metric(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """A sample's value; 0 when it was never touched."""
    return registry.get_sample_value(name, labels) or 0.0
