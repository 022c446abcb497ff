"""The read model in PostgreSQL: what one transaction writes. Owned by reporting.

Each method is one statement for the whole batch, with an array per column; so a batch of 500 taps costs seven round
trips. Locks are taken in the order of ids.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.jetstream import subject
from chassis.outbox import OutboxEvent, enqueue
from services.reporting.adapters.messages import day_assessed
from services.reporting.adapters.revocations import note_revoked
from services.reporting.application.ports import (
    AssessedDay,
    DayFacts,
    PersonRecord,
    RevokedDevice,
    SchoolRecord,
    TapRecord,
)
from services.reporting.domain.assess import SlotAssessment
from services.reporting.domain.facts import PersonDay, Slot, Tap

SCHEMA = "reporting"

_TAP_TYPES = {
    "tap_id": "uuid",
    "person_id": "uuid",
    "device_id": "uuid",
    "npsn": "text",
    "slot": "smallint",
    "work_date": "date",
    "official_time": "timestamptz",
    "arrival_time": "timestamptz",
    "stored_time": "timestamptz",
    "time_grade": "smallint",
    "verdict": "smallint",
    "minutes": "integer",
    "minutes_class": "smallint",
    "flags": "bigint",
    "policy_version": "integer",
    "practice": "boolean",
    "network_type": "smallint",
    "strength_dbm": "smallint",
}
_SCHOOL_TYPES = {
    "npsn": "text",
    "version": "bigint",
    "name": "text",
    "district_code": "text",
    "district": "text",
    "week_days": "smallint",
}
_PERSON_TYPES = {
    "person_id": "uuid",
    "version": "bigint",
    "nip": "text",
    "name": "text",
    "npsn": "text",
    "active": "boolean",
    "known_since": "timestamptz",
}
_SLOT_TYPES = {
    "result": "smallint",
    "tap_id": "uuid",
    "official_time": "timestamptz",
    "minutes": "integer",
    "class": "smallint",
    "flags": "bigint",
    "flagged": "boolean",
}
_KEY_TYPES = {"work_date": "date", "person_id": "uuid"}
_DAY_TYPES = {
    "npsn": "text",
    "status_code": "text",
    **{f"in_{name}": kind for name, kind in _SLOT_TYPES.items()},
    **{f"out_{name}": kind for name, kind in _SLOT_TYPES.items()},
    "policy_version": "integer",
    "reason": "text",
    "due_at": "timestamptz",
}


def _came(types: Mapping[str, str]) -> str:
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in types.items())
    return f"unnest({arrays}) AS came ({', '.join(types)})"


def _list(types: Mapping[str, str], form: str = "{}") -> str:
    return ", ".join(form.format(name) for name in types)


def _columns(types: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return dict(zip(types, zip(*rows, strict=True), strict=True))


# A deployment may serve several regencies from one schema.
_OURS = "CAST(:regency AS text)"

# Sorted by the caller; an INSERT ... SELECT takes its locks in the order that unnest gives.
_ADD_TAPS = text(
    f"INSERT INTO reporting.taps (regency, {_list(_TAP_TYPES)})"  # noqa: S608 - our own names
    f" SELECT {_OURS}, came.* FROM {_came(_TAP_TYPES)}"
    " ON CONFLICT (regency, tap_id) DO NOTHING RETURNING person_id, work_date, practice"
)
_PUT_SCHOOLS = text(
    f"INSERT INTO reporting.schools AS present (regency, {_list(_SCHOOL_TYPES)})"  # noqa: S608
    f" SELECT {_OURS}, came.* FROM {_came(_SCHOOL_TYPES)}"
    f" ON CONFLICT (regency, npsn) DO UPDATE SET {_list(_SCHOOL_TYPES, '{0} = EXCLUDED.{0}')}"
    " WHERE present.version < EXCLUDED.version OR (CAST(:reconcile AS boolean)"
    f" AND present.version = EXCLUDED.version AND ({_list(_SCHOOL_TYPES, 'present.{}')})"
    f" IS DISTINCT FROM ({_list(_SCHOOL_TYPES, 'EXCLUDED.{}')}))"
    " RETURNING npsn"
)
# Not chassis.upsert: an older version that comes late still says that the person was known earlier.
_PUT_PEOPLE = text(
    f"INSERT INTO reporting.people AS present (regency, {_list(_PERSON_TYPES)})"  # noqa: S608
    f" SELECT {_OURS}, came.* FROM {_came(_PERSON_TYPES)}"
    " ON CONFLICT (regency, person_id) DO UPDATE SET "
    + ", ".join(
        f"{name} = CASE WHEN present.version < EXCLUDED.version THEN EXCLUDED.{name} ELSE present.{name} END"
        for name in _PERSON_TYPES
        if name not in {"person_id", "known_since"}
    )
    + ", known_since = least(present.known_since, EXCLUDED.known_since)"
    " WHERE present.version < EXCLUDED.version OR EXCLUDED.known_since < present.known_since"
    " RETURNING person_id"
)
_LOCK_PEOPLE = text(
    "SELECT person_id, version, npsn FROM reporting.people"
    " WHERE regency = :regency AND person_id = ANY (CAST(:ids AS uuid[])) ORDER BY person_id FOR NO KEY UPDATE"
)
_RESERVE_PEOPLE = text(
    "INSERT INTO reporting.people (regency, person_id, version, nip, name, npsn, active, known_since)"  # noqa: S608
    f" SELECT {_OURS}, id, 0, '', '', '', false, 'infinity' FROM unnest(CAST(:ids AS uuid[])) AS came (id)"
    " ON CONFLICT (regency, person_id) DO NOTHING"
)
_SCHOOL_VERSIONS = text("SELECT npsn, version FROM reporting.schools WHERE regency = :regency")
_WEEK_DAYS = text(
    "SELECT npsn, week_days FROM reporting.schools"
    " WHERE regency = :regency AND npsn = ANY (CAST(:npsns AS text[]))"
)
# LATERAL with OFFSET 0 makes each person-day one look into the index, whatever the planner believes: until the tables
# are analyzed it takes the regency's rows for few, and reads all of them once per batch.
_FACTS = text(
    "SELECT came.person_id, came.work_date, d.npsn AS kept_npsn,"  # noqa: S608
    " t.tap_id, t.slot, t.official_time, t.time_grade, t.flags, t.npsn"
    f" FROM {_came(_KEY_TYPES)}"
    " LEFT JOIN LATERAL (SELECT npsn FROM reporting.days"
    " WHERE regency = :regency AND work_date = came.work_date AND person_id = came.person_id OFFSET 0) AS d ON true"
    " LEFT JOIN LATERAL (SELECT tap_id, slot, official_time, time_grade, flags, npsn FROM reporting.taps"
    " WHERE regency = :regency AND work_date = came.work_date AND person_id = came.person_id AND NOT practice"
    " OFFSET 0) AS t ON true"
    " ORDER BY came.work_date, came.person_id, t.official_time, t.tap_id"
)
_SAVE = text(
    f"INSERT INTO reporting.days AS present (regency, {_list(_KEY_TYPES)}, {_list(_DAY_TYPES)}, revision, assessed_at)"  # noqa: S608
    f" SELECT {_OURS}, came.*, 1, :now FROM {_came({**_KEY_TYPES, **_DAY_TYPES})}"
    f" ON CONFLICT (regency, work_date, person_id) DO UPDATE SET {_list(_DAY_TYPES, '{0} = EXCLUDED.{0}')},"
    " revision = present.revision + 1, assessed_at = EXCLUDED.assessed_at"
    f" WHERE ({_list(_DAY_TYPES, 'present.{}')}) IS DISTINCT FROM ({_list(_DAY_TYPES, 'EXCLUDED.{}')})"
    " RETURNING present.person_id, present.work_date, present.revision"
)
_CONCERNED = text(
    "SELECT person_id, work_date FROM reporting.days"
    " WHERE regency = :regency AND (due_at IS NOT NULL OR work_date >= :since)"
    " AND (person_id = ANY (CAST(:people AS uuid[])) OR npsn = ANY (CAST(:npsns AS text[])))"
    " UNION SELECT t.person_id, t.work_date FROM reporting.taps AS t"
    " WHERE t.regency = :regency AND t.person_id = ANY (CAST(:people AS uuid[])) AND NOT t.practice AND NOT EXISTS"
    " (SELECT FROM reporting.days AS d"
    " WHERE d.regency = :regency AND d.work_date = t.work_date AND d.person_id = t.person_id)"
)
_DUE = text(
    "SELECT person_id, work_date FROM reporting.days WHERE regency = :regency AND due_at < :now"
    " ORDER BY due_at LIMIT :limit"
)
_CALLED = text(
    "SELECT work_date, week_days FROM reporting.roll_calls"
    " WHERE regency = :regency AND work_date BETWEEN :first AND :last"
)
_ABSENT = text(
    "SELECT p.person_id FROM reporting.people AS p"
    " JOIN reporting.schools AS s ON s.regency = p.regency AND s.npsn = p.npsn"
    " WHERE p.regency = :regency AND p.active AND p.version > 0 AND p.known_since < :known_before"
    " AND s.week_days = :week_days"
    " AND NOT EXISTS (SELECT FROM reporting.days AS d"
    " WHERE d.regency = p.regency AND d.work_date = :work_date AND d.person_id = p.person_id)"
    " ORDER BY p.person_id LIMIT :limit"
)
_MARK_CALLED = text(
    "INSERT INTO reporting.roll_calls (regency, work_date, week_days, done_at)"
    " VALUES (:regency, :work_date, :week_days, :now)"
    " ON CONFLICT DO NOTHING"
)


class PostgresReadModel:
    """`ReadModel` on a connection whose transaction is the caller's.

    Args:
        connection: in a transaction.
        regency: for the events' subjects, four digits.
    """

    def __init__(self, connection: AsyncConnection, *, regency: str) -> None:
        self._connection = connection
        self._regency = regency
        self._subject = subject(regency, "reporting", "day_assessed")

    # Any: text() tells the type checker nothing of its columns.
    async def _execute(self, statement: TextClause, values: Mapping[str, Any]) -> Any:
        return await self._connection.execute(statement, {**values, "regency": self._regency})

    async def _scalars(self, statement: TextClause, values: Mapping[str, Any]) -> list[Any]:
        return list((await self._execute(statement, values)).scalars())

    async def add_taps(self, taps: Sequence[TapRecord]) -> list[PersonDay]:
        """See `ReadModel`."""
        if not taps:
            return []
        added = await self._execute(_ADD_TAPS, _columns(_TAP_TYPES, taps))
        return [PersonDay(str(person), day) for person, day, practice in added if not practice]

    async def put_schools(self, schools: Sequence[SchoolRecord], *, reconcile: bool = False) -> list[str]:
        """See `ReadModel`."""
        if not schools:
            return []
        columns = _columns(_SCHOOL_TYPES, schools)
        return await self._scalars(_PUT_SCHOOLS, {**columns, "reconcile": reconcile})

    async def school_versions(self) -> Mapping[str, int]:
        """See `ReadModel`."""
        return {npsn: int(version) for npsn, version in await self._execute(_SCHOOL_VERSIONS, {})}

    async def put_people(self, people: Sequence[PersonRecord]) -> list[str]:
        """See `ReadModel`."""
        if not people:
            return []
        changed = await self._scalars(_PUT_PEOPLE, _columns(_PERSON_TYPES, people))
        return [str(person) for person in changed]

    async def lock_people(self, person_ids: Collection[str]) -> Mapping[str, str]:
        """See `ReadModel`."""
        rows = await self._lock(sorted(person_ids))
        missing = sorted(set(person_ids) - rows.keys())
        if missing:
            await self._execute(_RESERVE_PEOPLE, {"ids": missing})
            # Whom another transaction made known meanwhile is there now.
            rows |= await self._lock(missing)
        return {person: npsn for person, (version, npsn) in rows.items() if version > 0}

    async def _lock(self, ids: list[str]) -> dict[str, tuple[int, str]]:
        rows = await self._execute(_LOCK_PEOPLE, {"ids": ids})
        return {str(person): (version, npsn) for person, version, npsn in rows}

    async def week_days(self, npsns: Collection[str]) -> Mapping[str, int]:
        """See `ReadModel`."""
        rows = await self._execute(_WEEK_DAYS, {"npsns": list(npsns)})
        return {npsn: int(days) for npsn, days in rows}

    async def facts(self, days: Sequence[PersonDay]) -> Mapping[PersonDay, DayFacts]:
        """See `ReadModel`."""
        keys = [(day.work_date, day.person_id) for day in days]
        rows = (await self._execute(_FACTS, _columns(_KEY_TYPES, keys))).all()
        facts: dict[PersonDay, DayFacts] = {}
        for (person, work_date), group in groupby(rows, key=lambda row: (row[0], row[1])):
            taps: list[Tap] = []
            npsn = ""
            for _, _, kept, tap_id, slot, at, grade, flags, tap_npsn in group:
                if tap_id is None:
                    npsn = kept or ""
                    continue
                taps.append(Tap(str(tap_id), slot, at, grade, flags))
                npsn = tap_npsn or npsn or kept or ""
            facts[PersonDay(str(person), work_date)] = DayFacts(taps, npsn)
        return facts

    async def save(self, days: Sequence[AssessedDay], *, now: datetime) -> None:
        """See `ReadModel`."""
        if not days:
            return
        columns = _columns({**_KEY_TYPES, **_DAY_TYPES}, [_day_row(day) for day in days])
        rows = await self._execute(_SAVE, {**columns, "now": now})
        revisions = {PersonDay(str(person), work_date): revision for person, work_date, revision in rows}
        await enqueue(
            self._connection,
            SCHEMA,
            [self._event(day, revisions[day.day], now) for day in days if day.day in revisions],
        )

    def _event(self, day: AssessedDay, revision: int, now: datetime) -> OutboxEvent:
        message = day_assessed(day, regency=self._regency, revision=revision)
        return OutboxEvent(
            subject=self._subject,
            msg_id=f"day:{day.day.person_id}:{message.work_date}:{revision}",
            event_type="hadir.events.v1.DayAssessed",
            source=f"/hadir/{self._regency}/reporting",
            payload=message.SerializeToString(),
            occurred_at=now,
        )

    async def concerned(
        self, person_ids: Collection[str], npsns: Collection[str], *, since: date
    ) -> list[PersonDay]:
        """See `ReadModel`."""
        if not person_ids and not npsns:
            return []
        rows = await self._execute(
            _CONCERNED, {"people": list(person_ids), "npsns": list(npsns), "since": since}
        )
        return [PersonDay(str(person), work_date) for person, work_date in rows]

    async def due(self, *, now: datetime, limit: int) -> list[PersonDay]:
        """See `ReadModel`."""
        rows = await self._execute(_DUE, {"now": now, "limit": limit})
        return [PersonDay(str(person), work_date) for person, work_date in rows]

    async def called(self, first: date, last: date) -> set[tuple[date, int]]:
        """See `ReadModel`."""
        rows = await self._execute(_CALLED, {"first": first, "last": last})
        return {(work_date, week_days) for work_date, week_days in rows}

    async def absent(
        self, work_date: date, week_days: int, *, known_before: datetime, limit: int
    ) -> list[PersonDay]:
        """See `ReadModel`."""
        found = await self._scalars(
            _ABSENT,
            {"work_date": work_date, "week_days": week_days, "known_before": known_before, "limit": limit},
        )
        return [PersonDay(str(person), work_date) for person in found]

    async def note_revoked(self, devices: Sequence[RevokedDevice], *, now: datetime) -> None:
        """See `ReadModel`."""
        await note_revoked(self._connection, devices, regency=self._regency, now=now)

    async def mark_called(self, work_date: date, week_days: int, *, now: datetime) -> None:
        """See `ReadModel`."""
        await self._execute(_MARK_CALLED, {"work_date": work_date, "week_days": week_days, "now": now})


_NO_SLOT = (None, None, None, 0, 0, 0, False)


def _slot_row(slot: SlotAssessment | None) -> tuple[Any, ...]:
    # Without its first field, the slot itself: the column's prefix says it.
    return _NO_SLOT if slot is None else slot[1:]


def _day_row(day: AssessedDay) -> tuple[Any, ...]:
    assessment = day.assessment
    by_slot = {slot.slot: slot for slot in assessment.slots}
    return (
        day.day.work_date,
        day.day.person_id,
        day.npsn,
        assessment.status_code,
        *_slot_row(by_slot.get(Slot.IN)),
        *_slot_row(by_slot.get(Slot.OUT)),
        assessment.policy_version,
        assessment.reason,
        assessment.due_at,
    )


class PostgresTransaction:
    """`Transaction`: one transaction of its own on an engine."""

    def __init__(self, engine: AsyncEngine, *, regency: str) -> None:
        self._engine = engine
        self._regency = regency
        self._begun: AbstractAsyncContextManager[AsyncConnection] | None = None

    async def __aenter__(self) -> PostgresReadModel:
        """Begins it."""
        self._begun = self._engine.begin()
        return PostgresReadModel(await self._begun.__aenter__(), regency=self._regency)

    async def __aexit__(self, *error: Any) -> None:
        """Commits, or rolls back after an error."""
        begun, self._begun = self._begun, None
        if begun is not None:
            await begun.__aexit__(*error)
