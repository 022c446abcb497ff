"""Dated rules of attendance, and what they make of one date for one school. Owned by reporting.

Everything here is data that a regulation, a regency or a school can change (domain rules, "Time"); where it is
read from is the adapters' affair. A policy says local times of day; a `DutyDay` is the same as moments in UTC,
made once per date and group of schools, so that judging a tap is a comparison.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.reporting.domain.facts import Slot


class SlotTimes(NamedTuple):
    """A slot's three local times of day: from when a tap counts, the limit of being on time, until when it counts."""

    slot: Slot
    opens: time
    on_time_until: time
    closes: time


class MinutesClass(NamedTuple):
    """One row of the table of lateness and early leave: the class begins at this minute."""

    number: int
    from_minute: int


class ConditionalRule(NamedTuple):
    """What is relaxed for schools with weak signal (kebijakan kondisional)."""

    accept_claimed: bool
    late_sync: timedelta | None


class SchoolCalendar(NamedTuple):
    """What a school's calendar hangs on: its working days per week (5 or 6), and itself for conditional rules."""

    npsn: str
    week_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One dated version of the rules.

    Attributes:
        version: ascending from 1.
        valid_from: first local date it holds for.
        zone: of the work dates and of all times of day.
        grace: after a check-in's on-time limit, not yet late; whole minutes.
        classes: by ascending first minute.
        weeks: the slots of each ISO weekday (1 to 7), by working days per week of the school.
        holidays: local dates without duty, with the group they are for; group 0 means all schools.
        late_sync: after a window's end, how long offline phones may still send.
        conditional: relaxed rules by NPSN.
    """

    version: int
    valid_from: date
    zone: ZoneInfo
    grace: timedelta
    classes: tuple[MinutesClass, ...]
    weeks: Mapping[int, Mapping[int, tuple[SlotTimes, ...]]]
    holidays: frozenset[tuple[date, int]] = frozenset()
    late_sync: timedelta
    conditional: Mapping[str, ConditionalRule] = field(default_factory=dict)

    def slots_on(self, work_date: date, week_days: int) -> tuple[SlotTimes, ...]:
        """The slots with duty on a local date for schools of a group; none on days off."""
        if (work_date, 0) in self.holidays or (work_date, week_days) in self.holidays:
            return ()
        return self.weeks.get(week_days, {}).get(work_date.isoweekday(), ())

    def class_of(self, minutes: int) -> int:
        """The class of so many minutes late or early; 0 when the table begins later."""
        number = 0
        for row in self.classes:
            if minutes < row.from_minute:
                break
            number = row.number
        return number

    @property
    def worst_class(self) -> int:
        """The class that a missing registration counts as (domain rules: late or early by over 90 minutes)."""
        return self.classes[-1].number if self.classes else 0


class DutyWindow(NamedTuple):
    """A slot of one date as moments in UTC. After `complete_at` no phone may send for it without review."""

    slot: Slot
    opens: datetime
    on_time_until: datetime
    closes: datetime
    complete_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyDay:
    """What a policy makes of one local date for one calendar; without windows it is a day off."""

    policy: Policy
    work_date: date
    windows: tuple[DutyWindow, ...]
    accept_claimed: bool

    @property
    def first_opens(self) -> datetime | None:
        """When the day's first window opens; none on a day off."""
        return min((window.opens for window in self.windows), default=None)


def duty_day(policy: Policy, calendar: SchoolCalendar, work_date: date) -> DutyDay:
    """The duty of a school's people on a local date under a policy."""
    rule = policy.conditional.get(calendar.npsn, ConditionalRule(accept_claimed=False, late_sync=None))
    late_sync = policy.late_sync if rule.late_sync is None else rule.late_sync

    def moment(clock: time) -> datetime:
        return datetime.combine(work_date, clock, tzinfo=policy.zone).astimezone(UTC)

    windows = tuple(
        DutyWindow(
            slot=times.slot,
            opens=moment(times.opens),
            on_time_until=moment(times.on_time_until),
            closes=moment(times.closes),
            complete_at=moment(times.closes) + late_sync,
        )
        for times in policy.slots_on(work_date, calendar.week_days)
    )
    return DutyDay(policy=policy, work_date=work_date, windows=windows, accept_claimed=rule.accept_claimed)


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """All versions of the rules. Not empty."""

    policies: tuple[Policy, ...]

    def on(self, work_date: date) -> Policy:
        """The version in force on a local date: of those begun, the latest begun, then the highest version.

        Before the first one begins, that one: a tap of a clock that is years behind is judged too, as checkin does.
        """
        latest = max(work_date, self.begins)
        begun = [policy for policy in self.policies if policy.valid_from <= latest]
        return max(begun, key=lambda policy: (policy.valid_from, policy.version))

    @property
    def begins(self) -> date:
        """The first local date that any version is made for: nobody owed a day before it."""
        return min(policy.valid_from for policy in self.policies)

    @property
    def newest(self) -> Policy:
        """The version with the highest number."""
        return max(self.policies, key=lambda policy: policy.version)

    @property
    def schools_with_rules(self) -> frozenset[str]:
        """NPSNs that a conditional rule of any version names."""
        return frozenset(npsn for policy in self.policies for npsn in policy.conditional)
