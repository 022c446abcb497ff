"""The relay: takes committed outbox rows to JetStream, each at least once, and marks them when acknowledged.

Owner: the chassis. Any number of relays may run on one outbox; each takes other rows (SKIP LOCKED). The order of
publication is roughly, not strictly, that of the commits: consumers look at versions.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import is_contended, is_unavailable
from chassis.jetstream.connection import NatsConnection, NatsUnavailableError
from chassis.jetstream.events import cloud_event_headers
from chassis.jetstream.publish import Outcome, Outgoing, publish
from chassis.jetstream.stream import ensure_stream, stream_config
from chassis.outbox.store import Claimed, backlog, claim, mark_sent, purge
from chassis.tasks import together

logger = logging.getLogger(__name__)

BATCH: Final = 500
# Rows stay locked at most twice this and a second (chassis.jetstream.publish): below the database's limit of 15 s for
# a transaction that idles.
PUBLISH_TIMEOUT_SECONDS: Final = 4.0
# After a wake-up, so that a herd's events share batches: in batches of 20 an event costs relay, PostgreSQL and NATS
# three times what it costs in batches of 100 (docs/decisions/0037-outbox.md), and the board may lag by 5 s.
LINGER_SECONDS: Final = 0.1
POLL_SECONDS: Final = 2.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
BACKLOG_EVERY_SECONDS: Final = 5.0
BACKLOG_COUNTED_TO: Final = 100_000
KEEP: Final = timedelta(days=7)
PURGE_EVERY_SECONDS: Final = 3600.0
PURGE_BATCH: Final = 2_000
PURGE_BATCHES: Final = 500
# Rows that the stream refuses one by one; above this many, the whole batch fails instead.
MOST_DEFERRED: Final = 1_000
DEFER_SECONDS: Final = 60.0


class OutboxRelay:
    """Publishes one schema's outbox. One `run` per instance; it holds one pooled connection while it publishes.

    Args:
        engine: of the service.
        schema: whose `outbox` it is.
        nats: the connection, up or not.
        registry: gets the `hadir_outbox_...` metrics.
        stream: the stream to publish to; made when it is missing.
        batch: rows per transaction.
        publish_timeout: seconds that a batch may wait for its acknowledgements.
        linger: seconds to wait after a wake-up for more rows to share the batch.
        poll: seconds between looks without a wake-up (rows of a process that died), give or take a quarter.
    """

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        schema: str,
        nats: NatsConnection,
        registry: CollectorRegistry,
        stream: StreamConfig | None = None,
        batch: int = BATCH,
        publish_timeout: float = PUBLISH_TIMEOUT_SECONDS,
        linger: float = LINGER_SECONDS,
        poll: float = POLL_SECONDS,
    ) -> None:
        self._engine = engine
        self._schema = schema
        self._nats = nats
        self._stream = stream or stream_config()
        self._batch = batch
        self._timeout = publish_timeout
        self._linger = linger
        self._poll = poll
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._client: Client | None = None
        self._context: JetStreamContext | None = None
        self._deferred: dict[int, float] = {}
        self._unsent = Gauge(
            "hadir_outbox_unsent",
            f"Events committed and not published, counted to {BACKLOG_COUNTED_TO}",
            registry=registry,
        )
        self._oldest = Gauge(
            "hadir_outbox_oldest_unsent_age_seconds", "Age of the oldest unpublished event", registry=registry
        )
        self._published = Counter(
            "hadir_outbox_published", "Events acknowledged by JetStream", registry=registry
        )
        self._duplicates = Counter(
            "hadir_outbox_duplicates", "Of these, known to JetStream already", registry=registry
        )
        self._failures = Counter(
            "hadir_outbox_publish_failures",
            "Events not acknowledged, by reason; tried again",
            ["reason"],
            registry=registry,
        )

    def notify(self) -> None:
        """Say that rows were committed; cheap, and safe to call for each of them."""
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled; a batch in hand is then given back, and published by the next start."""
        await together(self._publish_forever(), self._measure_forever(), self._purge_forever())

    async def drain(self, timeout: float) -> bool:
        """Publish what waits, for at most `timeout` seconds; True when nothing waits any more. For a shutdown."""
        try:
            async with asyncio.timeout(timeout):
                while self._nats.connected:
                    if await self.publish_batch() == 0:
                        return True
        except Exception as error:
            if not _passing(error):
                raise
            logger.warning(
                "draining the outbox of %s: %s; the rest goes out later", self._schema, _told(error)
            )
        return False

    async def publish_batch(self) -> int:
        """Claim, publish and mark one batch; how many rows it claimed.

        Raises:
            NatsUnavailableError, nats.errors.Error, TimeoutError: not all were acknowledged; those that were are
                marked, the others stay for a later try.
        """
        async with self._turn:
            return await self._publish_batch()

    async def _publish_batch(self) -> int:
        client, context = await self._ready()
        outcome = Outcome()
        async with self._engine.connect() as connection:
            rows = await claim(connection, self._schema, batch=self._batch, deferred=self._deferred_now())
            if rows:
                outcome = await publish(
                    client,
                    context,
                    self._stream.name or "",
                    [_outgoing(row) for row in rows],
                    timeout=self._timeout,
                )
            if len(outcome.acked) == len(rows):
                await connection.commit()
            else:
                await connection.rollback()
        self._published.inc(len(outcome.acked))
        self._duplicates.inc(outcome.duplicates)
        if len(outcome.acked) != len(rows):
            await self._settle(rows, outcome)
        return len(rows)

    async def _settle(self, rows: Sequence[Claimed], outcome: Outcome) -> None:
        """After a batch that was not acknowledged as a whole: mark what was, put off what was refused."""
        if outcome.acked:
            async with self._engine.begin() as connection:
                await mark_sent(connection, self._schema, [rows[place].id for place in outcome.acked])
        now = asyncio.get_running_loop().time()
        for place, why in outcome.refused.items():
            row = rows[place]
            self._failures.labels("refused").inc()
            logger.error("JetStream refuses event %s (%s): %s", row.msg_id, row.event_type, _told(why))
            if len(self._deferred) < MOST_DEFERRED:
                self._deferred[row.id] = now + DEFER_SECONDS
        if outcome.failure is not None:
            lost = len(rows) - len(outcome.acked) - len(outcome.refused)
            self._failures.labels(type(outcome.failure).__name__).inc(lost)
            raise outcome.failure
        if len(self._deferred) >= MOST_DEFERRED:
            raise NatsUnavailableError(f"JetStream refuses more than {MOST_DEFERRED} events")

    async def _ready(self) -> tuple[Client, JetStreamContext]:
        """The connection and JetStream on it, with the stream looked at once per connection."""
        client = self._nats.client()
        if self._context is None or self._client is not client:
            context = self._nats.jetstream()
            await ensure_stream(context, self._stream)
            self._client, self._context = client, context
        return client, self._context

    def _deferred_now(self) -> list[int]:
        now = asyncio.get_running_loop().time()
        self._deferred = {row_id: until for row_id, until in self._deferred.items() if until > now}
        return list(self._deferred)

    async def _publish_forever(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            if not await self._nats.wait_connected(self._poll):
                continue
            try:
                self._wake.clear()
                claimed = await self.publish_batch()
            except Exception as error:
                if not _passing(error):
                    raise
                self._context = None
                logger.warning(
                    "publishing the outbox of %s: %s; again in %.1f s", self._schema, _told(error), pause
                )
                await asyncio.sleep(pause * _jitter())
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            if claimed < self._batch:
                await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._poll * _jitter()):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._linger)

    async def _measure_forever(self) -> None:
        while True:
            try:
                async with self._engine.connect() as connection:
                    waiting = await backlog(connection, self._schema, most=BACKLOG_COUNTED_TO)
            except Exception as error:
                if not _passing(error):
                    raise
            else:
                self._unsent.set(waiting.unsent)
                self._oldest.set(waiting.oldest_seconds)
            await asyncio.sleep(BACKLOG_EVERY_SECONDS * _jitter())

    async def _purge_forever(self) -> None:
        while True:
            await asyncio.sleep(PURGE_EVERY_SECONDS * _jitter())
            try:
                for _ in range(PURGE_BATCHES):
                    async with self._engine.begin() as connection:
                        if await purge(connection, self._schema, keep=KEEP, batch=PURGE_BATCH) == 0:
                            break
                    await asyncio.sleep(0.1)
            except Exception as error:
                if not _passing(error):
                    raise
                logger.warning("purging the outbox of %s: %s", self._schema, _told(error))


def _outgoing(row: Claimed) -> Outgoing:
    headers = cloud_event_headers(
        msg_id=row.msg_id, event_type=row.event_type, source=row.source, occurred_at=row.occurred_at
    )
    return Outgoing(row.subject, row.payload, headers)


def _passing(error: BaseException) -> bool:
    """True for what time heals: NATS or PostgreSQL away, slow, or refusing for now."""
    return (
        isinstance(error, (NatsUnavailableError, nats.errors.Error, OSError))
        or is_unavailable(error)
        or is_contended(error)
    )


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _jitter() -> float:
    return random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, keeps no secret
