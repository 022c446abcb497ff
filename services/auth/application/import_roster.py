"""ImportRoster: schools and rows of a staff export become people. Owner: auth.

Rows are judged while the stream runs and applied in one transaction after its end, so a stream that breaks changes
nothing. A dry run does all of it and takes the transaction back, so that its answer is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.auth.application.ports import Clock, ImportCounts, RosterStore, TrailEntry
from services.auth.domain.errors import OutOfScopeError
from services.auth.domain.people import School
from services.auth.domain.roster import RawRow, RosterRules
from services.auth.domain.roster_import import Outcome, RosterImport, RowReport
from services.auth.domain.units import Breadth, Caller


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, or, dry, would have done.

    Attributes:
        reports: every refused row and every accepted one with a warning.
        counts: how many rows became what.
        refused: rows refused.
        dry_run: True when nothing was written because that was asked for.
    """

    reports: Sequence[RowReport]
    counts: ImportCounts
    refused: int
    dry_run: bool


class ImportRoster:
    """The use case; `begin` opens one import."""

    def __init__(self, *, clock: Clock, store: RosterStore, regency: str, rules: RosterRules) -> None:
        self._clock = clock
        self._store = store
        self._regency = regency
        self._rules = rules

    def begin(self, caller: Caller, *, sources: Sequence[str], dry_run: bool) -> "ImportRun":
        """Open an import.

        Raises:
            OutOfScopeError: the caller's unit is not the whole regency.
        """
        scope = caller.scope(self._regency)
        if scope.breadth is not Breadth.REGENCY:
            raise OutOfScopeError
        reading = RosterImport(self._regency, self._rules, tuple(sources))
        trail = TrailEntry(self._clock.now(), caller.subject, str(scope), "IMPORT_ROSTER")
        return ImportRun(store=self._store, clock=self._clock, reading=reading, trail=trail, dry_run=dry_run)


class ImportRun:
    """One import: schools, rows, then `finish`. What was not finished has changed nothing."""

    def __init__(
        self, *, store: RosterStore, clock: Clock, reading: RosterImport, trail: TrailEntry, dry_run: bool
    ) -> None:
        self._store = store
        self._clock = clock
        self._reading = reading
        self._trail = trail
        self._dry_run = dry_run

    @property
    def sources(self) -> Sequence[str]:
        """Names of the files, by index."""
        return self._reading.sources

    def add_schools(self, schools: Sequence[School]) -> None:
        """Take schools. Raises what `RosterImport.add_school` raises."""
        for school in schools:
            self._reading.add_school(school)

    async def add_rows(self, rows: Sequence[tuple[int, RawRow]]) -> None:
        """Judge rows, each with the index of its source. Raises what `RosterImport.add_row` raises."""
        if self._reading.wants_known_schools:
            self._reading.begin_rows(await self._store.known_schools())
        for source, row in rows:
            self._reading.add_row(row, source)

    async def finish(self) -> ImportResult:
        """Apply everything in one transaction, with its events and its entry in the trail.

        It takes the transaction back when the caller leaves before the commit.

        Raises:
            ImportRunningError: another import of the regency is being applied.
        """
        reading = self._reading
        # The files' names are not kept: people put names of people into them.
        trail = replace(self._trail, at=self._clock.now(), count=len(reading.accepted))
        applied = await self._store.apply(
            list(reading.schools.values()),
            [row for _, row in reading.accepted],
            now=self._clock.now(),
            trail=None if self._dry_run else trail,
        )
        outcomes = applied.outcomes
        counts = ImportCounts(
            created=outcomes.count(Outcome.CREATED),
            updated=outcomes.count(Outcome.UPDATED),
            unchanged=outcomes.count(Outcome.UNCHANGED),
            schools_changed=applied.schools_changed,
        )
        return ImportResult(reading.reports(outcomes), counts, len(reading.refused), self._dry_run)
