"""An import as a whole: its schools, its rows in order, and what became of each. Owner: auth.

Rows are judged as they come (`roster_duplicates`), so that a refusal costs nothing later; nothing is stored here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique

from services.auth.domain.errors import (
    ImportSequenceError,
    ImportTooLargeError,
    SchoolOutsideRegencyError,
    SchoolRepeatedError,
)
from services.auth.domain.people import School
from services.auth.domain.person_name import tidy_text
from services.auth.domain.roster import (
    AcceptedRow,
    Cell,
    Notice,
    RawRow,
    Refusal,
    RosterRules,
    SchoolDirectory,
    school_directory,
)
from services.auth.domain.roster_duplicates import Seen, judge_row
from services.auth.domain.roster_fields import CellKind, clean_npsn
from services.auth.domain.units import district_in_regency

MOST_ROWS = 200_000
"""Schools and rows of one import: ten large regencies. An accepted row takes 0.8 kB until the end: 160 MB at most."""


@unique
class Outcome(StrEnum):
    """What became of a row."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowReport:
    """What the file's owner is told about a row.

    Attributes:
        source: index of the file, from 0.
        number: the row's number as the spreadsheet shows it.
        outcome: what became of it.
        refusal: why it was refused, or None.
        warnings: what should be looked at although it was accepted.
    """

    source: int
    number: int
    outcome: Outcome
    refusal: Notice | None = None
    warnings: Sequence[Notice] = ()


@dataclass(slots=True)
class RosterImport:
    """One import while it is read: schools first, then rows. Owned by its caller.

    Attributes:
        regency: the tenant.
        rules: the regency's choices.
        sources: names of the files; not empty.
        schools: the schools read so far, by NPSN.
        accepted: the accepted rows with the index of their source, in order.
        refused: reports of the refused rows, in order.
    """

    regency: str
    rules: RosterRules
    sources: Sequence[str]
    schools: dict[str, School] = field(default_factory=dict)
    accepted: list[tuple[int, AcceptedRow]] = field(default_factory=list)
    refused: list[RowReport] = field(default_factory=list)
    _seen: Seen = field(default_factory=Seen)
    _directory: SchoolDirectory | None = None
    _read: int = 0

    @property
    def wants_known_schools(self) -> bool:
        """True until rows may be added: `begin_rows` comes first."""
        return self._directory is None

    def add_school(self, school: School) -> None:
        """Take a school of the import's list.

        Raises:
            ImportSequenceError: rows were read already.
            ImportTooLargeError: more than `MOST_ROWS`.
            SchoolOutsideRegencyError: its district is another regency's.
            SchoolRepeatedError: it was there before, with other data.
        """
        if self._directory is not None:
            raise ImportSequenceError
        self._count()
        tidy = _tidy_school(school)
        if not district_in_regency(tidy.district_code, self.regency):
            raise SchoolOutsideRegencyError(npsn=tidy.npsn, district=tidy.district_code, regency=self.regency)
        if self.schools.setdefault(tidy.npsn, tidy) != tidy:
            raise SchoolRepeatedError(npsn=tidy.npsn)

    def begin_rows(self, known: Sequence[School]) -> None:
        """The schools are complete; rows may also name those that the regency knows already."""
        schools = {school.npsn: school.name for school in known}
        schools |= {school.npsn: school.name for school in self.schools.values()}
        self._directory = school_directory(schools.items())

    def add_row(self, raw: RawRow, source: int) -> None:
        """Judge a row, in the file's order.

        Raises:
            ImportSequenceError: `begin_rows` was not called, or the source has no name.
            ImportTooLargeError: more than `MOST_ROWS`.
        """
        if self._directory is None or source >= len(self.sources):
            raise ImportSequenceError
        self._count()
        judged = judge_row(raw, self._directory, self.rules, self._seen)
        if isinstance(judged, Refusal):
            self.refused.append(RowReport(source, raw.row, Outcome.REFUSED, judged.notice))
        else:
            self.accepted.append((source, judged))

    def reports(self, outcomes: Sequence[Outcome]) -> list[RowReport]:
        """Every refused row and every accepted one with a warning, in the order of files and rows.

        Args:
            outcomes: what became of the accepted rows, in their order.
        """
        warned = [
            RowReport(source, row.row, outcome, warnings=row.warnings)
            for (source, row), outcome in zip(self.accepted, outcomes, strict=True)
            if row.warnings
        ]
        return sorted([*self.refused, *warned], key=lambda report: (report.source, report.number))

    def _count(self) -> None:
        self._read += 1
        if self._read > MOST_ROWS:
            raise ImportTooLargeError(most=str(MOST_ROWS))


def _tidy_school(school: School) -> School:
    return School(
        npsn=clean_npsn(Cell(school.npsn, CellKind.TEXT)),
        name=tidy_text(school.name),
        level=tidy_text(school.level),
        district_code=school.district_code.strip(),
        district=tidy_text(school.district),
        latitude=school.latitude,
        longitude=school.longitude,
        fence_radius_m=school.fence_radius_m,
        week_days=school.week_days,
    )
