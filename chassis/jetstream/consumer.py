"""A durable consumer that applies events in transactions and acknowledges after the commit.

Owner: the chassis. At least once and not ordered: what `apply` does must be idempotent and look at versions
(`chassis.upsert`). What a message cannot do to it: be lost, block the others, or be counted as bad because the
database was away.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import nats.errors
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import APIError, NotFoundError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import is_contended, is_unavailable
from chassis.jetstream.applier import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Apply,
    BatchApplier,
    ConsumerMetrics,
    Item,
    jitter,
)
from chassis.jetstream.connection import NatsConnection, NatsUnavailableError
from chassis.jetstream.events import Event, event_time
from chassis.jetstream.poison import Poison, describe, purge_poison
from chassis.jetstream.pull import Pull, PullBrokenError
from chassis.jetstream.stream import ensure_stream, stream_config
from chassis.tasks import together

logger = logging.getLogger(__name__)

BATCH: Final = 500
# Far above what a batch takes (some 0.1 s), far below what a board may lag when a replica dies with messages in hand.
ACK_WAIT_SECONDS: Final = 30.0
# Per durable, over all replicas: four of them with two batches each. More in flight would only come twice.
MAX_ACK_PENDING: Final = 8 * BATCH
MAX_TRIES: Final = 3
LAG_EVERY_SECONDS: Final = 10.0
# Long enough to be looked at and replayed; they hold personal data.
KEEP_POISON: Final = timedelta(days=90)
PURGE_EVERY_SECONDS: Final = 3600.0
PURGE_BATCH: Final = 1_000


class PullConsumer:
    """Reads subjects of the stream through one durable, shared by all replicas of a service.

    Args:
        engine: of the service; one connection is held while a batch is applied.
        schema: whose `poison` table takes what cannot be applied.
        nats: the connection, up or not.
        metrics: of this process.
        durable: the consumer's name at the server; its progress is kept under it.
        subjects: filters, from `chassis.jetstream.subject`; they must not overlap.
        decode: message class for each ce-type; another type is set aside.
        apply: does the work of a batch inside the given transaction. It must be idempotent and must not commit.
        after_commit: called after each commit with the events, for what may be lost (waking watchers).
        deliver: where a new durable begins.
        stream: the stream; made when it is missing.
        batch: most events of a transaction.
        linger: seconds that a batch which is not full waits for more: fewer, larger transactions, for what may lag.
        max_tries: how often an event alone is tried before it is set aside.
        ack_wait: seconds until the server sends again what was not acknowledged.
    """

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        schema: str,
        nats: NatsConnection,
        metrics: ConsumerMetrics,
        durable: str,
        subjects: Sequence[str],
        decode: Mapping[str, type[Message]],
        apply: Apply,
        after_commit: Callable[[Sequence[Event]], None] | None = None,
        deliver: DeliverPolicy = DeliverPolicy.ALL,
        stream: StreamConfig | None = None,
        batch: int = BATCH,
        linger: float = 0.0,
        max_tries: int = MAX_TRIES,
        ack_wait: float = ACK_WAIT_SECONDS,
        first_pause: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._engine = engine
        self._schema = schema
        self._nats = nats
        self._metrics = metrics
        self._durable = durable
        self._decode_as = dict(decode)
        self._stream = stream or stream_config()
        self._batch = batch
        self._linger = linger
        self._first_pause = first_pause
        self._applier = BatchApplier(
            engine=engine,
            schema=schema,
            durable=durable,
            apply=apply,
            acknowledge=self._acknowledge,
            after_commit=after_commit,
            metrics=metrics,
            max_tries=max_tries,
            first_pause=first_pause,
        )
        self._config = ConsumerConfig(
            name=durable,
            durable_name=durable,
            filter_subjects=list(subjects),
            deliver_policy=deliver,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait,
            max_ack_pending=MAX_ACK_PENDING,
            # Never dropped by the server: the poison table is the only way out.
            max_deliver=-1,
        )

    async def run(self) -> None:
        """Consume until cancelled. NATS or PostgreSQL being away, or the consumer being deleted, is waited out."""
        await together(self._consume_forever(), self._watch_lag_forever(), self._purge_forever())

    async def _consume_forever(self) -> None:
        pause, told = self._first_pause, ""
        while True:
            if not await self._nats.wait_connected(5.0):
                continue
            try:
                async for messages in self._messages():
                    pause, told = self._first_pause, ""
                    await self._process(messages)
            except (PullBrokenError, NatsUnavailableError, nats.errors.Error, OSError) as error:
                why = f"{type(error).__name__}: {error}"
                if why != told:
                    logger.warning("consumer %s is opened again: %s", self._durable, why)
                told = why
            await asyncio.sleep(pause * jitter())
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _messages(self) -> AsyncIterator[list[Msg]]:
        client = self._nats.client()
        await self._ensure(self._nats.jetstream())
        pull = Pull(
            client, stream=self._stream_name, durable=self._durable, batch=self._batch, linger=self._linger
        )
        try:
            await pull.open()
            while True:
                yield await pull.take()
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await pull.close()

    @property
    def _stream_name(self) -> str:
        return self._stream.name or ""

    async def _ensure(self, js: JetStreamContext) -> None:
        """The stream and the durable as they should be; repeating it changes nothing and keeps the progress."""
        await ensure_stream(js, self._stream)
        try:
            await js.add_consumer(self._stream_name, config=self._config)
        except NotFoundError:
            raise
        except APIError as error:
            # Something of an existing durable cannot be changed (where it began): its progress is worth more.
            await js.consumer_info(self._stream_name, self._durable)
            logger.warning("consumer %s stays as it is: %s", self._durable, error)

    async def _process(self, messages: Sequence[Msg]) -> None:
        items: list[Item] = []
        undecodable: list[Poison] = []
        for message in messages:
            try:
                items.append(Item(message, self._decode(message)))
            except (DecodeError, KeyError, ValueError) as error:
                undecodable.append(Poison(message, "undecodable", f"{type(error).__name__}: {error}", 1))
        redelivered = sum(1 for item in items if item.event.deliveries > 1)
        if redelivered:
            self._metrics.redelivered.labels(self._durable).inc(redelivered)
        await self._applier.set_aside(undecodable)
        await self._applier.apply(items)

    def _decode(self, message: Msg) -> Event:
        headers = message.headers or {}
        kind = headers.get("ce-type", "")
        wanted = self._decode_as.get(kind)
        if wanted is None:
            raise ValueError("no such event type here")
        metadata = message.metadata
        return Event(
            type=kind,
            msg_id=headers["ce-id"],
            subject=message.subject,
            source=headers.get("ce-source", ""),
            message=wanted.FromString(message.data),
            stream_seq=metadata.sequence.stream,
            time=event_time(headers),
            deliveries=metadata.num_delivered,
        )

    async def _acknowledge(self, messages: Sequence[Msg]) -> None:
        """Plain acknowledgements: one that is lost brings the message again, and applying it again changes nothing."""
        try:
            client = self._nats.client()
            for message in messages:
                await client.publish(message.reply)
        except (NatsUnavailableError, nats.errors.Error, OSError) as error:
            logger.info(
                "consumer %s: not acknowledged, will come again: %s", self._durable, type(error).__name__
            )

    async def _watch_lag_forever(self) -> None:
        while True:
            if await self._nats.wait_connected(5.0):
                with contextlib.suppress(NatsUnavailableError, nats.errors.Error, OSError):
                    info = await self._nats.jetstream().consumer_info(self._stream_name, self._durable)
                    pending = (info.num_pending or 0) + (info.num_ack_pending or 0)
                    self._metrics.pending.labels(self._durable).set(pending)
            await asyncio.sleep(LAG_EVERY_SECONDS * jitter())

    async def _purge_forever(self) -> None:
        while True:
            await asyncio.sleep(PURGE_EVERY_SECONDS * jitter())
            try:
                async with self._engine.begin() as connection:
                    await purge_poison(connection, self._schema, keep=KEEP_POISON, batch=PURGE_BATCH)
            except Exception as error:
                if not (is_unavailable(error) or is_contended(error)):
                    raise
                logger.warning("purging the poison of %s: %s", self._schema, describe(error))
