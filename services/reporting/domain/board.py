"""The board: heads of a slot per school, district and unit, and what changed since. Pure. Owned by reporting."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class UnitLevel(IntEnum):
    """Level of a row, numbered as in `hadir.reporting.v1`."""

    REGENCY = 1
    DISTRICT = 2
    SCHOOL = 3


class Counts(NamedTuple):
    """Heads.

    Attributes:
        expected: people with duty in the slot.
        present: of these, with a tap that counts.
        late: of those present, late (check-in) or early (check-out).
        flagged: of those expected, with a tap of the slot that carries a flag.
    """

    expected: int = 0
    present: int = 0
    late: int = 0
    flagged: int = 0

    @property
    def missing(self) -> int:
        """People with duty and without a tap that counts, also while the window is still open."""
        return self.expected - self.present

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class SchoolHeads(NamedTuple):
    """One school with the people of its roster and what their days say, whether or not they have duty."""

    npsn: str
    name: str
    district_code: str
    district: str
    week_days: int
    people: int
    present: int
    late: int
    flagged: int


class Row(NamedTuple):
    """One unit of the board."""

    level: UnitLevel
    code: str
    name: str
    district_code: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Board:
    """A unit as a whole, and its districts and then schools by code."""

    total: Counts
    rows: tuple[Row, ...]


class Area(NamedTuple):
    """The part of the regency somebody may see or asked for; both None means all of it."""

    district_code: str | None = None
    npsn: str | None = None

    def holds(self, district_code: str, npsn: str) -> bool:
        """Whether a school lies in it."""
        if self.npsn is not None:
            return npsn == self.npsn
        return self.district_code is None or district_code == self.district_code


def board_of(schools: Iterable[SchoolHeads], duty_groups: frozenset[int], area: Area) -> Board:
    """The board of an area.

    Args:
        schools: all schools.
        duty_groups: the groups (working days per week) whose schools have duty in the slot that day.
        area: what is shown. Districts of which only a school is shown get no row of their own.
    """
    total = Counts()
    districts: dict[str, tuple[str, Counts]] = {}
    rows: list[Row] = []
    for school in sorted(schools, key=lambda school: school.npsn):
        if not area.holds(school.district_code, school.npsn):
            continue
        counts = (
            Counts(school.people, school.present, school.late, school.flagged)
            if school.week_days in duty_groups
            else Counts()
        )
        total = total.plus(counts)
        if area.npsn is None:
            name, before = districts.get(school.district_code, (school.district, Counts()))
            districts[school.district_code] = (name, before.plus(counts))
        rows.append(Row(UnitLevel.SCHOOL, school.npsn, school.name, school.district_code, counts))
    heads = (
        Row(UnitLevel.DISTRICT, code, name, "", counts) for code, (name, counts) in sorted(districts.items())
    )
    return Board(total, (*heads, *rows))


def changed_rows(before: Board, after: Board) -> tuple[Row, ...]:
    """Rows of `after` that differ from `before` or are new, in their order.

    A unit that vanished is told as a row of zeros once, because a watcher would keep showing it otherwise.
    """
    known: Mapping[tuple[UnitLevel, str], Row] = {(row.level, row.code): row for row in before.rows}
    now = {(row.level, row.code) for row in after.rows}
    changed = tuple(row for row in after.rows if known.get((row.level, row.code)) != row)
    return changed + tuple(row._replace(counts=Counts()) for key, row in known.items() if key not in now)
