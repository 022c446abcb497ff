"""People and schools as checkin knows them: from PersonChanged events, read for plans and forecasts.

No names and no NIP are kept here: a tap is judged by the school's fence and working week alone.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.jetstream import Event
from chassis.upsert import upsert_newer
from hadir.events.v1 import events_pb2
from services.checkin.adapters.reading import Reader
from services.checkin.domain.tap import School

PERSON_CHANGED = "hadir.events.v1.PersonChanged"

_UPSERT_SCHOOLS = upsert_newer(
    "checkin.schools",
    key=("regency", "npsn"),
    columns={
        "regency": "text",
        "npsn": "text",
        "latitude": "double precision",
        "longitude": "double precision",
        "fence_radius_m": "double precision",
        "week_days": "smallint",
        "version": "bigint",
    },
)
_UPSERT_PEOPLE = upsert_newer(
    "checkin.people",
    key=("person_id",),
    columns={
        "person_id": "uuid",
        "regency": "text",
        "npsn": "text",
        "active": "boolean",
        "version": "bigint",
    },
)
_SCHOOL_OF = text(
    """
    SELECT s.npsn, s.latitude, s.longitude, s.fence_radius_m, s.week_days
    FROM checkin.people p JOIN checkin.schools s ON s.regency = p.regency AND s.npsn = p.npsn
    WHERE p.person_id = :person AND p.regency = :regency
    """
)
_HEADS = text(
    """
    SELECT s.week_days, count(*) FROM checkin.people p
    JOIN checkin.schools s ON s.regency = p.regency AND s.npsn = p.npsn
    WHERE p.active AND p.regency = :regency GROUP BY s.week_days
    """
)


async def apply_people(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Apply a batch of PersonChanged. Idempotent; the order does not matter."""
    changes = []
    for event in events:
        if not isinstance(event.message, events_pb2.PersonChanged):
            raise TypeError(f"not a PersonChanged: {event.type}")
        changes.append(event.message)
    await connection.execute(
        _UPSERT_SCHOOLS,
        {
            "regency": [each.regency for each in changes],
            "npsn": [each.school.npsn for each in changes],
            "latitude": [each.school.latitude for each in changes],
            "longitude": [each.school.longitude for each in changes],
            "fence_radius_m": [each.school.fence_radius_m for each in changes],
            "week_days": [each.school.week_days for each in changes],
            "version": [each.school_version for each in changes],
        },
    )
    await connection.execute(
        _UPSERT_PEOPLE,
        {
            "person_id": [UUID(each.person.person_id) for each in changes],
            "regency": [each.regency for each in changes],
            "npsn": [each.person.npsn for each in changes],
            "active": [each.person.active for each in changes],
            "version": [each.person.version for each in changes],
        },
    )


class PostgresPeople:
    """See application.ports.PeopleReads."""

    def __init__(self, read: Reader, *, regency: str) -> None:
        self._read = read
        self._regency = regency

    async def school_of(self, person_id: UUID) -> School | None:
        """The person's school; None when unknown here."""

        async def read(connection: AsyncConnection) -> School | None:
            found = await connection.execute(_SCHOOL_OF, {"person": person_id, "regency": self._regency})
            row = found.one_or_none()
            return None if row is None else School(row[0], row[1], row[2], row[3], row[4])

        return await self._read(read)

    async def heads(self) -> Mapping[int, int]:
        """Active people by their school's working days a week."""

        async def read(connection: AsyncConnection) -> Mapping[int, int]:
            return {row[0]: row[1] for row in await connection.execute(_HEADS, {"regency": self._regency})}

        return await self._read(read)
