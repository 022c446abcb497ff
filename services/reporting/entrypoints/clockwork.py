"""The background task that asks the sweeper at the clock's pace. Owned by reporting."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import NoReturn

from prometheus_client import CollectorRegistry, Counter, Gauge

from chassis.clock import Clock
from chassis.database import is_contended, is_unavailable
from services.reporting.application.sweep import Sweeper

logger = logging.getLogger(__name__)

# Batches of one look: 20,000 days in some seconds, then others get the database for a while.
_MOST_BATCHES = 40
_BREATH_SECONDS = 0.05


class Clockwork:
    """Runs a sweeper for ever.

    Args:
        sweeper: does a batch at a time.
        clock: the time.
        seconds: between two looks, give or take a quarter, so that replicas do not look together.
        told: called after each batch, to wake the outbox relay.
        registry: gets `hadir_reporting_sweep_...`.
    """

    def __init__(
        self,
        *,
        sweeper: Sweeper,
        clock: Clock,
        seconds: float,
        told: Callable[[], None],
        registry: CollectorRegistry,
    ) -> None:
        self._sweeper = sweeper
        self._clock = clock
        self._seconds = seconds
        self._told = told
        self._failures = Counter(
            "hadir_reporting_sweep_failures",
            "Sweeps given up because the database was away",
            registry=registry,
        )
        self._last = Gauge(
            "hadir_reporting_sweep_last_timestamp_seconds",
            "When the last sweep ended well",
            registry=registry,
        )

    async def run(self) -> NoReturn:
        """Sweeps until cancelled; the database being away is waited out."""
        while True:
            try:
                await self.sweep()
            except Exception as error:
                if not (is_unavailable(error) or is_contended(error)):
                    raise
                self._failures.inc()
                logger.warning("sweep given up: %s; again later", type(error).__name__)
            else:
                self._last.set(self._clock.now().timestamp())
            await asyncio.sleep(self._seconds * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load

    async def sweep(self) -> None:
        """One look: bounded batches of days that time decided, then of people who registered nothing."""
        for step in (self._sweeper.settle, self._sweeper.call_roll):
            for _ in range(_MOST_BATCHES):
                more = await step(now=self._clock.now())
                self._told()
                if not more:
                    break
                await asyncio.sleep(_BREATH_SECONDS)
