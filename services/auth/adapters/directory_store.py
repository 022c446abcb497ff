"""People and schools, and what operators do with them, in PostgreSQL. Owner: auth."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import enqueue
from services.auth.adapters import rows
from services.auth.adapters.events import SCHEMA, Events
from services.auth.adapters.rows import COLUMNS
from services.auth.adapters.statements import statement
from services.auth.adapters.trail import write_trail
from services.auth.adapters.transactions import Transactions
from services.auth.application.ports import NewCode, TrailEntry
from services.auth.domain.people import Device, Person, School
from services.auth.domain.units import Breadth, Unit

_SCHOOL: Final = statement(
    "SELECT {school} FROM auth.schools s WHERE s.regency = :regency AND s.npsn = :npsn",
    COLUMNS,
    regency="text",
    npsn="text",
)

_PERSON: Final = statement(
    """
    SELECT {person}, {school}
    FROM auth.people p JOIN auth.schools s ON s.regency = p.regency AND s.npsn = p.npsn
    WHERE p.regency = :regency AND p.person_id = :person_id
    """,
    COLUMNS,
    regency="text",
    person_id="uuid",
)


def _people(scope: str, **types: str) -> TextClause:
    return statement(
        """
        SELECT {person}, {school}
        FROM auth.people p JOIN auth.schools s ON s.regency = p.regency AND s.npsn = p.npsn
        WHERE p.regency = :regency AND p.person_id > :after {scope}
        ORDER BY p.person_id LIMIT :most
        """,
        {**COLUMNS, "scope": scope},
        regency="text",
        after="uuid",
        most="int",
        **types,
    )


# One statement each, so that each has the plan that fits it.
_PEOPLE_OF: Final = {
    Breadth.REGENCY: _people(""),
    Breadth.DISTRICT: _people("AND s.district_code = :code", code="text"),
    Breadth.SCHOOL: _people("AND p.npsn = :code", code="text"),
}
_BEFORE_ALL: Final = UUID(int=0)

_WITHOUT_DEVICE: Final = statement(
    """
    SELECT {person} FROM auth.people p
    WHERE p.regency = :regency AND p.npsn = :npsn AND p.active
      AND NOT EXISTS (SELECT FROM auth.devices d
                      WHERE d.regency = p.regency AND d.person_id = p.person_id AND d.revoked_at IS NULL)
    ORDER BY p.name, p.person_id LIMIT :most
    """,
    COLUMNS,
    regency="text",
    npsn="text",
    most="int",
)

_SOME: Final = statement(
    """
    SELECT {person} FROM auth.people p
    WHERE p.regency = :regency AND p.npsn = :npsn AND p.person_id = ANY (:person_ids)
    ORDER BY p.name, p.person_id
    """,
    COLUMNS,
    regency="text",
    npsn="text",
    person_ids="uuid[]",
)

# Two operators who make codes for the same people take turns, in one order, so neither waits for the other for ever.
# An enrolment's foreign key asks for less and does not wait.
_LOCK: Final = statement(
    """
    SELECT FROM auth.people WHERE regency = :regency AND person_id = ANY (:person_ids)
    ORDER BY person_id FOR NO KEY UPDATE
    """,
    regency="text",
    person_ids="uuid[]",
)

_VOID: Final = statement(
    """
    UPDATE auth.activation_codes SET voided_at = :at
    WHERE regency = :regency AND person_id = ANY (:person_ids) AND used_at IS NULL AND voided_at IS NULL
    """,
    regency="text",
    person_ids="uuid[]",
    at="time",
)

_ISSUE: Final = statement(
    """
    INSERT INTO auth.activation_codes (regency, digest, person_id, issued_at, issued_by, expires_at)
    SELECT :regency, c.digest, c.person_id, :at, :actor, c.expires_at
    FROM unnest(:digests, :person_ids, :ends) AS c (digest, person_id, expires_at)
    """,
    regency="text",
    at="time",
    actor="text",
    digests="bytes[]",
    person_ids="uuid[]",
    ends="time[]",
)

_REVOKE: Final = statement(
    """
    UPDATE auth.devices d SET revoked_at = :at, version = version + 1
    WHERE d.regency = :regency AND d.person_id = :person_id AND d.revoked_at IS NULL
    RETURNING {device}
    """,
    COLUMNS,
    regency="text",
    person_id="uuid",
    at="time",
)


class PostgresDirectoryStore:
    """`DirectoryStore`."""

    def __init__(self, *, transactions: Transactions, events: Events, regency: str) -> None:
        self._transactions = transactions
        self._events = events
        self._regency = regency

    async def school(self, npsn: str) -> School | None:
        """See the port."""

        async def work(connection: AsyncConnection) -> School | None:
            found = await connection.execute(_SCHOOL, {"regency": self._regency, "npsn": npsn})
            row = found.one_or_none()
            return None if row is None else rows.school(row)

        return await self._transactions.single(work)

    async def person(self, person_id: UUID) -> tuple[Person, School] | None:
        """See the port."""

        async def work(connection: AsyncConnection) -> tuple[Person, School] | None:
            found = await connection.execute(_PERSON, {"regency": self._regency, "person_id": person_id})
            row = found.one_or_none()
            return None if row is None else (rows.person(row), rows.school(row))

        return await self._transactions.single(work)

    async def people(
        self, unit: Unit, *, npsn: str, after: UUID | None, limit: int, trail: TrailEntry | None
    ) -> tuple[Sequence[Person], Sequence[School]]:
        """See the port."""
        part = Unit(Breadth.SCHOOL, npsn) if npsn else unit
        values = {"regency": self._regency, "after": after or _BEFORE_ALL, "most": limit}
        if part.breadth is not Breadth.REGENCY:
            values["code"] = part.code

        async def work(connection: AsyncConnection) -> tuple[Sequence[Person], Sequence[School]]:
            found = (await connection.execute(_PEOPLE_OF[part.breadth], values)).all()
            if trail is not None:
                await write_trail(connection, self._regency, replace(trail, count=len(found)))
            schools = {row.npsn: row for row in found}
            return [rows.person(row) for row in found], [rows.school(row) for row in schools.values()]

        return await self._transactions.together(work)

    async def without_device(self, npsn: str, *, limit: int) -> Sequence[Person]:
        """See the port."""

        async def work(connection: AsyncConnection) -> Sequence[Person]:
            values = {"regency": self._regency, "npsn": npsn, "most": limit}
            return [rows.person(row) for row in await connection.execute(_WITHOUT_DEVICE, values)]

        return await self._transactions.single(work)

    async def some_people(self, npsn: str, person_ids: Sequence[UUID]) -> Sequence[Person]:
        """See the port."""

        async def work(connection: AsyncConnection) -> Sequence[Person]:
            values = {"regency": self._regency, "npsn": npsn, "person_ids": list(person_ids)}
            return [rows.person(row) for row in await connection.execute(_SOME, values)]

        return await self._transactions.single(work)

    async def issue_codes(self, codes: Sequence[NewCode], *, trail: TrailEntry) -> None:
        """See the port."""

        async def work(connection: AsyncConnection) -> None:
            await self._void(connection, codes, trail.at)
            await self._keep(connection, codes, trail)

        await self._transactions.together(work)

    async def replace_device(self, code: NewCode, *, now: datetime, trail: TrailEntry) -> Device | None:
        """See the port."""

        async def work(connection: AsyncConnection) -> Device | None:
            # Codes first: an enrolment under way holds its code's row, so its device is there to be revoked after it.
            await self._void(connection, [code], now)
            values = {"regency": self._regency, "person_id": code.person_id, "at": now}
            row = (await connection.execute(_REVOKE, values)).one_or_none()
            await self._keep(connection, [code], trail)
            if row is None:
                return None
            revoked = rows.device(row)
            await enqueue(connection, SCHEMA, [self._events.device_changed(revoked, at=now)])
            return revoked

        return await self._transactions.together(work)

    async def _void(self, connection: AsyncConnection, codes: Sequence[NewCode], at: datetime) -> None:
        people = [code.person_id for code in codes]
        await connection.execute(_LOCK, {"regency": self._regency, "person_ids": people})
        await connection.execute(_VOID, {"regency": self._regency, "person_ids": people, "at": at})

    async def _keep(self, connection: AsyncConnection, codes: Sequence[NewCode], trail: TrailEntry) -> None:
        values = {
            "regency": self._regency,
            "at": trail.at,
            "actor": trail.actor,
            "digests": [code.digest for code in codes],
            "person_ids": [code.person_id for code in codes],
            "ends": [code.expires_at for code in codes],
        }
        await connection.execute(_ISSUE, values)
        await write_trail(connection, self._regency, trail)
