"""Where an import goes: schools, people and the roster's roles, in PostgreSQL. Owner: auth.

Everything in bulk (`unnest`), and only what differs is written: the same file twice leaves no row, no version and no
event behind.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import enqueue
from services.auth.adapters import rows
from services.auth.adapters.events import SCHEMA, Events
from services.auth.adapters.roster_statements import (
    END_GRANTS,
    KNOWN_SCHOOLS,
    ONE_AT_A_TIME,
    PEOPLE_OF_OTHER_SCHOOLS,
    PEOPLE_OF_SCHOOLS,
    PERSON_TYPES,
    START_GRANTS,
    UPSERT_PEOPLE,
    UPSERT_SCHOOLS,
)
from services.auth.adapters.trail import write_trail
from services.auth.adapters.transactions import Transactions
from services.auth.application.ports import Applied, Entropy, TrailEntry
from services.auth.domain.errors import ImportRunningError
from services.auth.domain.identifiers import ENTROPY_BYTES, uuid7
from services.auth.domain.people import School
from services.auth.domain.roster import AcceptedRow
from services.auth.domain.roster_import import Outcome
from services.auth.domain.units import Breadth, Role, Unit

CHUNK: Final = 1_000
"""Rows of one statement: some 300 kB, a step of some 20 ms, far inside the statement's time limit."""

T = TypeVar("T")


class _DryRunError(Exception):
    """Takes a dry run's transaction back; never leaves this module."""

    def __init__(self, applied: Applied) -> None:
        super().__init__("dry run")
        self.applied = applied


class PostgresRosterStore:
    """`RosterStore`."""

    def __init__(
        self,
        *,
        transactions: Transactions,
        events: Events,
        entropy: Entropy,
        regency: str,
        zone: ZoneInfo,
    ) -> None:
        self._transactions = transactions
        self._events = events
        self._entropy = entropy
        self._regency = regency
        self._zone = zone

    async def known_schools(self) -> Sequence[School]:
        """See the port."""

        async def work(connection: AsyncConnection) -> Sequence[School]:
            return [
                rows.school(row)
                for row in await connection.execute(KNOWN_SCHOOLS, {"regency": self._regency})
            ]

        return await self._transactions.single(work)

    async def apply(
        self,
        schools: Sequence[School],
        people: Sequence[AcceptedRow],
        *,
        now: datetime,
        trail: TrailEntry | None,
    ) -> Applied:
        """See the port."""

        async def work(connection: AsyncConnection) -> Applied:
            applied = await self._apply(connection, schools, people, now)
            if trail is None:
                raise _DryRunError(applied)
            await write_trail(connection, self._regency, trail)
            return applied

        try:
            return await self._transactions.together(work, only_for_caller=True)
        except _DryRunError as dry:
            return dry.applied

    async def _apply(
        self,
        connection: AsyncConnection,
        schools: Sequence[School],
        people: Sequence[AcceptedRow],
        now: datetime,
    ) -> Applied:
        free = await connection.scalar(ONE_AT_A_TIME, {"name": f"hadir-import-{self._regency}"})
        if not free:
            raise ImportRunningError
        changed_schools: list[str] = []
        for school_chunk in _chunks(schools):
            changed_schools += await connection.scalars(
                UPSERT_SCHOOLS, self._school_values(school_chunk, now)
            )
        outcomes: list[Outcome] = []
        changed_people: list[UUID] = []
        for chunk in _chunks(people):
            proposed = [uuid7(now, self._entropy.bytes(ENTROPY_BYTES)) for _ in chunk]
            values = self._person_values(chunk, proposed, now)
            found = {
                row.staff_number: row.person_id for row in await connection.execute(UPSERT_PEOPLE, values)
            }
            for row, new_id in zip(chunk, proposed, strict=True):
                kept = found.get(row.staff_number)
                outcomes.append(_outcome(kept, new_id))
            changed_people += found.values()
            await self._sync_grants(connection, chunk, now)
        await self._tell(connection, changed_people, changed_schools, now)
        return Applied(outcomes, len(changed_schools))

    def _school_values(self, chunk: Sequence[School], now: datetime) -> dict[str, object]:
        return {
            "regency": self._regency,
            "now": now,
            "npsn": [school.npsn for school in chunk],
            "name": [school.name for school in chunk],
            "level": [school.level for school in chunk],
            "district_code": [school.district_code for school in chunk],
            "district": [school.district for school in chunk],
            "latitude": [school.latitude for school in chunk],
            "longitude": [school.longitude for school in chunk],
            "fence_radius_m": [school.fence_radius_m for school in chunk],
            "week_days": [school.week_days for school in chunk],
        }

    def _person_values(
        self, chunk: Sequence[AcceptedRow], proposed: Sequence[UUID], now: datetime
    ) -> dict[str, object]:
        cells: list[tuple[Any, ...]] = [
            (
                new_id,
                row.staff_number,
                row.staff_number_kind.value,
                row.name,
                row.nuptk or "",
                row.status.value,
                row.kind,
                row.duty,
                row.phone or "",
                row.npsn,
            )
            for row, new_id in zip(chunk, proposed, strict=True)
        ]
        columns = zip(*cells, strict=True)
        values: dict[str, object] = {
            name: list(column) for name, column in zip(PERSON_TYPES, columns, strict=True)
        }
        return values | {"regency": self._regency, "now": now}

    async def _sync_grants(
        self, connection: AsyncConnection, chunk: Sequence[AcceptedRow], now: datetime
    ) -> None:
        """Give the roles that the roster states, end those that it no longer does; others are left alone."""
        wanted = [
            (row.staff_number, role, str(Unit(Breadth.SCHOOL, row.npsn)))
            for row in chunk
            for role in row.roles
            if role != Role.TEACHER
        ]
        values: dict[str, object] = {
            "regency": self._regency,
            "today": now.astimezone(self._zone).date(),
            "numbers": [number for number, _, _ in wanted],
            "roles": [role for _, role, _ in wanted],
            "units": [unit for _, _, unit in wanted],
        }
        await connection.execute(END_GRANTS, values | {"everyone": [row.staff_number for row in chunk]})
        if wanted:
            ids = [uuid7(now, self._entropy.bytes(ENTROPY_BYTES)) for _ in wanted]
            await connection.execute(START_GRANTS, values | {"now": now, "ids": ids})

    async def _tell(
        self, connection: AsyncConnection, people: Sequence[UUID], schools: Sequence[str], now: datetime
    ) -> None:
        """Record PersonChanged for everybody of a changed school and for changed people of other schools."""
        values: dict[str, object] = {"regency": self._regency, "schools": list(schools)}
        after: UUID | None = UUID(int=0) if schools else None
        while after is not None:
            page = await connection.execute(PEOPLE_OF_SCHOOLS, values | {"after": after, "most": CHUNK})
            found = page.all()
            await self._enqueue(connection, found, now)
            after = found[-1].person_id if len(found) == CHUNK else None
        for chunk in _chunks(people):
            page = await connection.execute(PEOPLE_OF_OTHER_SCHOOLS, values | {"people": list(chunk)})
            await self._enqueue(connection, page.all(), now)

    async def _enqueue(self, connection: AsyncConnection, found: Sequence[Row[Any]], now: datetime) -> None:
        events = [self._events.person_changed(rows.person(row), rows.school(row), at=now) for row in found]
        await enqueue(connection, SCHEMA, events)


def _outcome(kept: UUID | None, proposed: UUID) -> Outcome:
    if kept is None:
        return Outcome.UNCHANGED
    return Outcome.CREATED if kept == proposed else Outcome.UPDATED


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
