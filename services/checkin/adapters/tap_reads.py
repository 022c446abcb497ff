"""Reads of stored taps: a person's day, and the listing that rebuilds and reconciles use."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from functools import partial
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.checkin.adapters.reading import Reader
from services.checkin.application.ports import ListedTap, Receipt

_OF_DAY = text(
    """
    SELECT receipt_content, receipt_signature, receipt_key_id FROM checkin.taps
    WHERE person_id = :person AND work_date = :day AND regency = :regency ORDER BY official_time, tap_id LIMIT :limit
    """
)
_LISTING = text(
    """
    SELECT tap_id, evidence, signature, device_id, receipt_content, receipt_signature, receipt_key_id, npsn
    FROM checkin.taps
    WHERE regency = :regency
      AND (CAST(:after AS uuid) IS NULL OR tap_id > :after)
      AND (CAST(:first AS date) IS NULL OR work_date >= :first)
      AND (CAST(:last AS date) IS NULL OR work_date <= :last)
      AND (:practice OR NOT practice)
    ORDER BY tap_id LIMIT :batch
    """
)


async def _page(
    connection: AsyncConnection, *, parameters: Mapping[str, object]
) -> list[tuple[UUID, ListedTap]]:
    found = await connection.execute(_LISTING, dict(parameters))
    return [
        (row[0], ListedTap(row[1], row[2], row[3], Receipt(row[4], row[5], row[6]), row[7])) for row in found
    ]


class PostgresTapReads:
    """See application.ports.TapReads. A batch is a short transaction of its own: a slow reader holds no snapshot."""

    def __init__(self, read: Reader, *, regency: str) -> None:
        self._read = read
        self._regency = regency

    async def of_day(self, person_id: UUID, work_date: date, limit: int) -> Sequence[Receipt]:
        """One person's receipts of a work date, in official order."""

        async def read(connection: AsyncConnection) -> Sequence[Receipt]:
            found = await connection.execute(
                _OF_DAY,
                {"person": person_id, "day": work_date, "regency": self._regency, "limit": limit},
            )
            return [Receipt(row[0], row[1], row[2]) for row in found]

        return await self._read(read)

    async def listing(
        self, first: date | None, last: date | None, after: UUID | None, *, practice: bool, batch: int
    ) -> AsyncIterator[Sequence[ListedTap]]:
        """Stored taps in tap_id order, batch by batch."""
        while True:
            parameters = {
                "regency": self._regency,
                "after": after,
                "first": first,
                "last": last,
                "practice": practice,
                "batch": batch,
            }
            rows = await self._read(partial(_page, parameters=parameters))
            if rows:
                yield [tap for _, tap in rows]
            if len(rows) < batch:
                return
            after = rows[-1][0]
