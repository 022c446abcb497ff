"""Revoked devices: kept in our schema as events tell them, and in memory for the gate. Owned by reporting.

A revocation is final, so it needs no version. The event reaches one replica; the others find it in the table.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import is_contended, is_unavailable
from services.reporting.application.errors import RevocationsUnknownError
from services.reporting.application.ports import RevokedDevice

logger = logging.getLogger(__name__)

KEEP: Final = timedelta(days=550)
"""auth gives no certificate for longer than 514 days (400, 100 at random, 14 to renew in): an older revocation is of a
device that has nothing to show any more."""

MAX_IN_MEMORY: Final = 100_000
"""Revocations held in memory: a regency of 11,000 has some 4,000 in that time. Of more the newest are held."""

LOOK_SECONDS: Final = 2.0
"""Between two looks at the table: how long another replica goes on answering a revoked device."""

_RETRY_SECONDS = 0.5
# noted_at is taken before the commit; a transaction is over, or is given up, long before this.
_OVERLAP = timedelta(minutes=2)

_NOTE = text(
    "INSERT INTO reporting.revoked_devices (regency, device_id, revoked_at)"
    " SELECT CAST(:regency AS text), came.* FROM unnest(CAST(:ids AS uuid[]), CAST(:at AS timestamptz[])) AS came"
    " ON CONFLICT (regency, device_id) DO NOTHING"
)
_FORGET = text("DELETE FROM reporting.revoked_devices WHERE regency = :regency AND revoked_at < :oldest")
_LOOK = text(
    "SELECT device_id, noted_at FROM reporting.revoked_devices"
    " WHERE regency = :regency AND revoked_at >= :oldest"
    " AND (CAST(:since AS timestamptz) IS NULL OR noted_at > :since) ORDER BY noted_at DESC LIMIT :limit"
)


async def note_revoked(
    connection: AsyncConnection, devices: Sequence[RevokedDevice], *, regency: str, now: datetime
) -> None:
    """Writes revocations down, in the caller's transaction, and deletes those older than KEEP. Idempotent."""
    once = {device.device_id: device.revoked_at for device in devices}
    if once:
        ids = sorted(once)
        await connection.execute(_NOTE, {"regency": regency, "ids": ids, "at": [once[key] for key in ids]})
    await connection.execute(_FORGET, {"regency": regency, "oldest": now - KEEP})


class Revocations:
    """The revoked devices in memory, at most MAX_IN_MEMORY, LOOK_SECONDS behind the table.

    Args:
        engine: where the table is.
        regency: four digits.
        now: the time.
    """

    def __init__(self, engine: AsyncEngine, *, regency: str, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._regency = regency
        self._now = now
        self._revoked: set[str] = set()
        self._since: datetime | None = None
        self._woken = asyncio.Event()
        self.loaded = False
        """Whether the table was read once; before that nobody is known to be revoked, or not to be."""

    def revoked(self, device_id: str) -> bool:
        """Whether the device is revoked.

        Raises:
            RevocationsUnknownError: the table was not read yet.
        """
        if not self.loaded:
            raise RevocationsUnknownError
        return device_id.lower() in self._revoked

    def wake(self) -> None:
        """Looks at the table now: this replica has just written to it."""
        self._woken.set()

    async def look(self) -> bool:
        """Takes what is new in the table; False when the database is away."""
        values: dict[str, Any] = {
            "regency": self._regency,
            "oldest": self._now() - KEEP,
            "since": None if self._since is None else self._since - _OVERLAP,
            "limit": MAX_IN_MEMORY,
        }
        try:
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_LOOK, values)).all()
        except Exception as error:
            if not (is_unavailable(error) or is_contended(error)):
                raise
            return False
        found = {str(device_id) for device_id, _ in rows} - self._revoked
        if self._since is not None and len(self._revoked) + len(found) > MAX_IN_MEMORY:
            logger.warning("more revoked devices than are held in memory; the newest are taken anew")
            self._since, self._revoked = None, set()
            return await self.look()
        self._revoked |= found
        self._since = max((noted_at for _, noted_at in rows), default=self._since)
        self.loaded = True
        return True

    async def follow(self) -> NoReturn:
        """Keeps the set current, until cancelled."""
        while True:
            pause = LOOK_SECONDS if await self.look() else _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()
