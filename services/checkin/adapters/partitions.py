"""Month partitions of the taps, made ahead: a month without its partition still works (DEFAULT), but slower."""

import asyncio
import logging
from collections.abc import Callable
from datetime import date, datetime

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.checkin.domain.tap_id import add_months, month_bounds, month_of

logger = logging.getLogger(__name__)

# This month and three more: a month's notice even when nobody looks at the alert (fewer than two ahead) for four weeks.
MONTHS_AHEAD = 3
_LOOK_EVERY_SECONDS = 3600.0

_ENSURE = text("SELECT checkin.ensure_partition(:name, CAST(:lower AS uuid), CAST(:upper AS uuid))")
_READY = text(
    """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'checkin.taps'::regclass
    """
)


def partition_name(month: date) -> str:
    """The name of a month's partition."""
    return f"taps_{month:%Y_%m}"


class Partitions:
    """Keeps months ready. Any number of replicas may do it at once."""

    def __init__(self, engine: AsyncEngine, *, now: Callable[[], datetime], ahead: Gauge) -> None:
        self._engine = engine
        self._now = now
        self._ahead = ahead

    async def ensure(self) -> int:
        """Make this month and the next MONTHS_AHEAD where missing; returns how many months ahead are ready."""
        this = month_of(self._now())
        async with self._engine.connect() as connection:
            ready = set((await connection.execute(_READY)).scalars())
        for month in (add_months(this, count) for count in range(MONTHS_AHEAD + 1)):
            if partition_name(month) in ready:
                continue
            lower, upper = month_bounds(month)
            # A transaction a month: the lock on DEFAULT is held for one month's move, not for all.
            async with self._engine.begin() as connection:
                parameters = {"name": partition_name(month), "lower": lower, "upper": upper}
                await connection.execute(_ENSURE, parameters)
            ready.add(partition_name(month))
            logger.info("made partition %s", partition_name(month))
        count = 0
        while partition_name(add_months(this, count + 1)) in ready:
            count += 1
        self._ahead.set(count)
        return count

    async def run(self) -> None:
        """Ensure now and every hour, until cancelled."""
        while True:
            await self.ensure()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
