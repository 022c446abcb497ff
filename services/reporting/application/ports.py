"""What reporting's use cases need of the outside, as protocols. Owned by reporting; adapters implement them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from services.reporting.domain.assess import DayAssessment
from services.reporting.domain.board import Area, SchoolHeads
from services.reporting.domain.facts import PersonDay, Slot, Tap
from services.reporting.domain.peak import TapMoments


class Clock(Protocol):
    """The time, moved in tests."""

    def now(self) -> datetime:
        """Aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""


class TapRecord(NamedTuple):
    """A tap as TapAccepted tells it. Times are aware, in UTC; `flags` is a set of bits (`flag_bits`)."""

    tap_id: str
    person_id: str
    device_id: str | None
    npsn: str
    slot: int
    work_date: date
    official_time: datetime
    arrival_time: datetime
    stored_time: datetime
    time_grade: int
    verdict: int
    minutes: int
    minutes_class: int
    flags: int
    policy_version: int
    practice: bool
    network_type: int
    strength_dbm: int | None


class SchoolRecord(NamedTuple):
    """A school as PersonChanged tells it."""

    npsn: str
    version: int
    name: str
    district_code: str
    district: str
    week_days: int


class PersonRecord(NamedTuple):
    """A person as PersonChanged tells it; `known_since` is when the change happened."""

    person_id: str
    version: int
    nip: str
    name: str
    npsn: str
    active: bool
    known_since: datetime


class RevokedDevice(NamedTuple):
    """A device that auth has revoked, and when (aware, in UTC)."""

    device_id: str
    revoked_at: datetime


class DayFacts(NamedTuple):
    """All that is known of a person-day: its taps (no practice), and the school it is kept under.

    `npsn` is of the last tap that has one, or, without, of the stored assessment; empty without either.
    """

    taps: Sequence[Tap]
    npsn: str


class AssessedDay(NamedTuple):
    """An assessment with its identity; `npsn` is the school that the day belongs to."""

    day: PersonDay
    npsn: str
    assessment: DayAssessment


class ReadModel(Protocol):
    """The read model within one transaction. Every method is one or two statements for any number of items."""

    async def add_taps(self, taps: Sequence[TapRecord]) -> list[PersonDay]:
        """Stores taps; known ones change nothing. The person-days of the new ones that are no practice."""

    async def put_schools(self, schools: Sequence[SchoolRecord], *, reconcile: bool = False) -> list[str]:
        """Stores schools whose version is newer than the stored one; NPSNs of these.

        With `reconcile` also those that differ at the same version: an event was missed.
        """

    async def school_versions(self) -> Mapping[str, int]:
        """Versions of all stored schools."""

    async def put_people(self, people: Sequence[PersonRecord]) -> list[str]:
        """Stores people whose version is newer than the stored one; ids of these."""

    async def lock_people(self, person_ids: Collection[str]) -> Mapping[str, str]:
        """Makes concurrent assessments of these people wait for this transaction; the school of each known one.

        A person not known yet is reserved, so that whoever makes them known waits too and sees their taps.
        """

    async def week_days(self, npsns: Collection[str]) -> Mapping[str, int]:
        """Working days per week of these schools; unknown ones are left out."""

    async def facts(self, days: Sequence[PersonDay]) -> Mapping[PersonDay, DayFacts]:
        """What is known of each of these person-days. Call after `lock_people`."""

    async def save(self, days: Sequence[AssessedDay], *, now: datetime) -> None:
        """Stores what differs from the stored assessment with the next revision, and announces each such day."""

    async def concerned(
        self, person_ids: Collection[str], npsns: Collection[str], *, since: date
    ) -> list[PersonDay]:
        """Person-days that a change of these people or schools concerns.

        Those from a local date on, those not final, and those that have taps and no assessment yet.
        """

    async def due(self, *, now: datetime, limit: int) -> list[PersonDay]:
        """Person-days that time alone has decided, oldest first."""

    async def called(self, first: date, last: date) -> set[tuple[date, int]]:
        """Dates with the group (working days per week) whose roll call is done for good."""

    async def absent(
        self, work_date: date, week_days: int, *, known_before: datetime, limit: int
    ) -> list[PersonDay]:
        """Active people of a group without an assessment for a date, known before a moment; by id."""

    async def note_revoked(self, devices: Sequence[RevokedDevice], *, now: datetime) -> None:
        """Writes revocations down; known ones change nothing. Also forgets those that no certificate outlives."""

    async def mark_called(self, work_date: date, week_days: int, *, now: datetime) -> None:
        """Notes that a roll call is done for good. Idempotent."""


class Transaction(Protocol):
    """One transaction on the read model: commits when left without an error."""

    async def __aenter__(self) -> ReadModel:
        """Begins it."""

    async def __aexit__(self, *error: object) -> None:
        """Commits, or rolls back after an error."""


class DayQuery(NamedTuple):
    """Which days to list: dates inclusive, an area, one person or all, after a person-day, at most so many."""

    first: date
    last: date
    area: Area
    person_id: str | None
    after: PersonDay | None
    limit: int


class ListedDay(NamedTuple):
    """One stored person-day with who it is about."""

    assessed: AssessedDay
    revision: int
    nip: str
    name: str


class Queries(Protocol):
    """Reads of the read model, each on a connection of its own."""

    async def heads(self, work_date: date, slot: Slot) -> list[SchoolHeads]:
        """All schools with their people and what the days say of a slot."""

    async def district_of(self, npsn: str) -> str | None:
        """District code of a school; None when the school is unknown."""

    async def has_district(self, district_code: str) -> bool:
        """Whether any school lies in the district."""

    async def days(self, query: DayQuery) -> list[ListedDay]:
        """Person-days by date, then person."""

    async def moments(self, work_date: date, slot: Slot, area: Area, *, limit: int) -> list[TapMoments]:
        """At most `limit` taps of a slot (no practice), the first stored first."""
