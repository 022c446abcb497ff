"""Applies a batch of events in transactions: all at once, and by halves when something in it fails.

Owner: the chassis. Decides whose fault a failure is: the database's (wait, for as long as it takes), the batch's (split
it), or one event's (try it again, then set it aside). docs/decisions/0039-consumer.md.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import answers, is_unavailable, sqlstate
from chassis.jetstream.events import Event
from chassis.jetstream.poison import Poison, describe, set_aside

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
# Wrong table, wrong column, no right, no such schema: the deployment's fault, not the message's.
_DEPLOYMENT_CLASSES: Final = ("42", "3F")

Apply = Callable[[AsyncConnection, Sequence[Event]], Awaitable[None]]


class ConsumerMetrics:
    """Metrics of all consumers of a process, by consumer; made once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by = ["consumer"]
        self.applied = Counter(
            "hadir_consumer_applied", "Events applied and committed", by, registry=registry
        )
        self.redelivered = Counter(
            "hadir_consumer_redelivered", "Events that came again", by, registry=registry
        )
        self.failures = Counter(
            "hadir_consumer_failures", "Transactions that failed", [*by, "kind"], registry=registry
        )
        self.poison = Counter("hadir_consumer_poison", "Events set aside", [*by, "reason"], registry=registry)
        self.pending = Gauge(
            "hadir_consumer_pending", "Events in the stream that are not applied yet", by, registry=registry
        )
        self.last_applied = Gauge(
            "hadir_consumer_last_applied_timestamp_seconds",
            "When the last batch was committed",
            by,
            registry=registry,
        )
        self.seconds = Histogram(
            "hadir_consumer_batch_seconds",
            "Time to apply and commit a batch",
            by,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class Item:
    """A delivered message and what it says."""

    message: Msg
    event: Event


class BatchApplier:
    """Applies events through `apply`; every message given ends acknowledged, after it was committed or set aside.

    Args:
        engine: of the service.
        schema: whose `poison` table is used.
        durable: the consumer's name.
        apply: see PullConsumer.
        acknowledge: tells the server that these are done; it does not raise.
        after_commit: see PullConsumer.
        metrics: of this process.
        max_tries: how often an event alone is tried.
        first_pause: seconds before the first repetition; then twice as long each time, up to LONGEST_PAUSE_SECONDS.
    """

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        schema: str,
        durable: str,
        apply: Apply,
        acknowledge: Callable[[Sequence[Msg]], Awaitable[None]],
        after_commit: Callable[[Sequence[Event]], None] | None,
        metrics: ConsumerMetrics,
        max_tries: int,
        first_pause: float,
    ) -> None:
        self._engine = engine
        self._schema = schema
        self._durable = durable
        self._apply = apply
        self._acknowledge = acknowledge
        self._after_commit = after_commit
        self._metrics = metrics
        self._max_tries = max_tries
        self._first_pause = first_pause

    async def apply(self, items: Sequence[Item]) -> None:
        """Apply all; returns when each of `items` is committed or set aside, however long the database is away."""
        suspects: list[tuple[Item, str]] = []
        waiting: list[Sequence[Item]] = [items] if items else []
        while waiting:
            part = waiting.pop()
            failure = await self._try(part)
            if failure is None:
                continue
            if len(part) == 1:
                suspects.append((part[0], failure))
                continue
            half = len(part) // 2
            waiting += [part[half:], part[:half]]
        await self._insist(suspects)

    async def _insist(self, suspects: list[tuple[Item, str]]) -> None:
        """Rounds over all suspects, so that many of them wait no longer than one; then set aside what is left."""
        pause = self._first_pause
        for _ in range(self._max_tries - 1):
            if not suspects:
                return
            await asyncio.sleep(pause * jitter())
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            again = [(item, await self._try([item])) for item, _ in suspects]
            suspects = [(item, failure) for item, failure in again if failure is not None]
        await self.set_aside(
            [Poison(item.message, "refused", failure, self._max_tries) for item, failure in suspects]
        )

    async def _try(self, part: Sequence[Item]) -> str | None:
        """One transaction, repeated while the database is away; None when committed, else what its failure was."""
        pause = self._first_pause
        while True:
            began = time.perf_counter()
            events = [item.event for item in part]
            try:
                async with self._engine.begin() as connection:
                    await self._apply(connection, events)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises must not stop the other events
                if not await self._is_away(error):
                    self._metrics.failures.labels(self._durable, "refused").inc()
                    return describe(error)
                self._metrics.failures.labels(self._durable, "away").inc()
                logger.warning("consumer %s waits for the database: %s", self._durable, describe(error))
                await asyncio.sleep(pause * jitter())
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            await self._committed(part, events, time.perf_counter() - began)
            return None

    async def _committed(self, part: Sequence[Item], events: Sequence[Event], seconds: float) -> None:
        self._metrics.applied.labels(self._durable).inc(len(part))
        self._metrics.seconds.labels(self._durable).observe(seconds)
        self._metrics.last_applied.labels(self._durable).set_to_current_time()
        await self._acknowledge([item.message for item in part])
        if self._after_commit is not None:
            self._after_commit(events)

    async def _is_away(self, error: Exception) -> bool:
        """True when it is nobody's fault in the batch; a statement that never ends is the batch's own."""
        code = sqlstate(error)
        if code:
            return is_unavailable(error) or code.startswith(_DEPLOYMENT_CLASSES)
        return is_unavailable(error) and not await answers(self._engine)

    async def set_aside(self, found: Sequence[Poison]) -> None:
        """Write `found` down, then acknowledge them; waits for as long as the table is out of reach."""
        pause = self._first_pause
        while found:
            try:
                async with self._engine.begin() as connection:
                    await set_aside(connection, self._schema, self._durable, found)
            except Exception as error:  # noqa: BLE001 - acknowledging what was not written down would lose it
                logger.error("consumer %s cannot set messages aside: %s", self._durable, describe(error))  # noqa: TRY400
                await asyncio.sleep(pause * jitter())
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            for one in found:
                self._metrics.poison.labels(self._durable, one.reason).inc()
                logger.error(
                    "consumer %s set message %s aside (%s: %s)",
                    self._durable,
                    one.message.metadata.sequence.stream,
                    one.reason,
                    one.error,
                )
            await self._acknowledge([one.message for one in found])
            return


def jitter() -> float:
    """A factor around 1 that keeps replicas from repeating in step."""
    return random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, keeps no secret
