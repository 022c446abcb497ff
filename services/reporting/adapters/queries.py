"""Reads of the read model for answers. Owned by reporting.

Each read runs in a task of its own: a caller that goes away in the middle of one would otherwise take a pooled
connection with it (SQLAlchemy issues 8145 and 12077). Their number is bounded by the pool, their time by the
engine's statement timeout.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.application.ports import AssessedDay, DayQuery, ListedDay
from services.reporting.domain.assess import DayAssessment, SlotAssessment, needs_review
from services.reporting.domain.board import Area, SchoolHeads
from services.reporting.domain.facts import PersonDay, Slot, SlotResult, Tap
from services.reporting.domain.peak import TapMoments

T = TypeVar("T")

_PREFIX = {Slot.IN: "in", Slot.OUT: "out"}

_HEADS = {
    slot: text(
        "SELECT s.npsn, s.name, s.district_code, s.district, s.week_days, count(p.person_id) AS people,"  # noqa: S608
        f" count(*) FILTER (WHERE d.{prefix}_result IN (1, 2, 3)) AS present,"
        f" count(*) FILTER (WHERE d.{prefix}_result IN (2, 3)) AS late,"
        f" count(*) FILTER (WHERE d.{prefix}_flagged) AS flagged"
        " FROM reporting.schools AS s"
        " LEFT JOIN reporting.people AS p"
        " ON p.regency = s.regency AND p.npsn = s.npsn AND p.active AND p.version > 0"
        " LEFT JOIN reporting.days AS d"
        " ON d.regency = s.regency AND d.work_date = :work_date AND d.person_id = p.person_id"
        " WHERE s.regency = :regency GROUP BY s.regency, s.npsn"
    )
    for slot, prefix in _PREFIX.items()
}
# Until the tables are analyzed the planner takes them for small and compares every person with every day: 0.5 s in
# place of 5 ms for 6,000 people.
_HASH_JOINS = text("SET LOCAL enable_nestloop = off")
_DISTRICT_OF = text("SELECT district_code FROM reporting.schools WHERE regency = :regency AND npsn = :npsn")
_HAS_DISTRICT = text(
    "SELECT EXISTS (SELECT FROM reporting.schools WHERE regency = :regency AND district_code = :code)"
)
_SLOT_COLUMNS = ", ".join(
    f"d.{prefix}_{name}"
    for prefix in ("in", "out")
    for name in ("result", "tap_id", "official_time", "minutes", "class", "flags", "flagged")
)
_DAYS = (
    "SELECT d.work_date, d.person_id, d.npsn, d.status_code, d.policy_version, d.reason, d.due_at, d.revision,"  # noqa: S608
    f" p.nip, p.name, {_SLOT_COLUMNS} FROM reporting.days AS d"
    " JOIN reporting.people AS p ON p.regency = d.regency AND p.person_id = d.person_id"
)
_MOMENTS = (
    "SELECT t.person_id, (extract(epoch FROM t.arrival_time) * 1000000)::bigint,"
    " (extract(epoch FROM t.stored_time) * 1000000)::bigint, t.time_grade, t.flags, t.official_time"
    " FROM reporting.taps AS t LEFT JOIN reporting.people AS p ON p.regency = t.regency AND p.person_id = t.person_id"
)
# The school at storing; checkin may not have known the person then.
_TAP_SCHOOL = "coalesce(nullif(t.npsn, ''), p.npsn, '')"


class PostgresQueries:
    """`Queries` on an engine, for one regency (four digits)."""

    def __init__(self, engine: AsyncEngine, *, regency: str) -> None:
        self._engine = engine
        self._regency = regency
        self._running: set[asyncio.Task[Any]] = set()

    async def heads(self, work_date: date, slot: Slot) -> list[SchoolHeads]:
        """See `Queries`."""
        rows = await self._rows(_HEADS[slot], {"work_date": work_date}, before=_HASH_JOINS)
        return [SchoolHeads(*row) for row in rows]

    async def district_of(self, npsn: str) -> str | None:
        """See `Queries`."""
        rows = await self._rows(_DISTRICT_OF, {"npsn": npsn})
        return rows[0][0] if rows else None

    async def has_district(self, district_code: str) -> bool:
        """See `Queries`."""
        rows = await self._rows(_HAS_DISTRICT, {"code": district_code})
        return bool(rows[0][0])

    async def days(self, query: DayQuery) -> list[ListedDay]:
        """See `Queries`."""
        where, values = _area("d.npsn", query.area)
        where += ["d.regency = :regency", "d.work_date BETWEEN :first AND :last"]
        values |= {"first": query.first, "last": query.last, "limit": query.limit}
        if query.person_id is not None:
            where.append("d.person_id = CAST(:person AS uuid)")
            values["person"] = query.person_id
        if query.after is not None:
            where.append("(d.work_date, d.person_id) > (:after_date, CAST(:after_person AS uuid))")
            values |= {"after_date": query.after.work_date, "after_person": query.after.person_id}
        statement = f"{_DAYS} WHERE {' AND '.join(where)} ORDER BY d.work_date, d.person_id LIMIT :limit"
        return [_listed(row) for row in await self._rows(text(statement), values)]

    async def moments(self, work_date: date, slot: Slot, area: Area, *, limit: int) -> list[TapMoments]:
        """See `Queries`."""
        where, values = _area(_TAP_SCHOOL, area)
        where += ["t.regency = :regency", "t.work_date = :work_date", "t.slot = :slot", "NOT t.practice"]
        values |= {"work_date": work_date, "slot": int(slot), "limit": limit}
        statement = f"{_MOMENTS} WHERE {' AND '.join(where)} ORDER BY t.stored_time LIMIT :limit"
        return [
            TapMoments(
                str(person),
                arrived,
                stored,
                needs_review(Tap("", slot, at, grade, flags), accept_claimed=False),
            )
            for person, arrived, stored, grade, flags, at in await self._rows(text(statement), values)
        ]

    async def _rows(
        self, statement: TextClause, values: Mapping[str, Any], *, before: TextClause | None = None
    ) -> Sequence[Any]:
        async def read() -> Sequence[Any]:
            async with self._engine.connect() as connection:
                if before is not None:
                    await connection.execute(before)
                return (await connection.execute(statement, {**values, "regency": self._regency})).all()

        return await self._apart(read)

    async def _apart(self, work: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await work()

        task = asyncio.create_task(run(), name="reporting read")
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Asked for, so that a read whose caller left does not complain that nobody looked at its error.
            task.exception()


def _area(school: str, area: Area) -> tuple[list[str], dict[str, Any]]:
    where: list[str] = []
    values: dict[str, Any] = {}
    if area.npsn is not None:
        where.append(f"{school} = :npsn")
        values["npsn"] = area.npsn
    elif area.district_code is not None:
        where.append(
            f"{school} IN (SELECT npsn FROM reporting.schools"  # noqa: S608
            " WHERE regency = :regency AND district_code = :district)"
        )
        values["district"] = area.district_code
    return where, values


def _listed(row: Sequence[Any]) -> ListedDay:
    work_date, person, npsn, code, policy_version, reason, due_at, revision, nip, name, *slots = row
    both = ((Slot.IN, slots[:7]), (Slot.OUT, slots[7:]))
    assessment = DayAssessment(
        code,
        tuple(_slot(slot, values) for slot, values in both if values[0] is not None),
        policy_version,
        reason,
        due_at,
    )
    return ListedDay(AssessedDay(PersonDay(str(person), work_date), npsn, assessment), revision, nip, name)


def _slot(slot: Slot, values: list[Any]) -> SlotAssessment:
    result, tap_id, *rest = values
    return SlotAssessment(slot, SlotResult(result), None if tap_id is None else str(tap_id), *rest)
