"""Dated rules as data: schedules, calendar, tolerances. What a regulation or a regency can change is in a Policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from services.checkin.domain.tap import Slot


@dataclass(frozen=True, slots=True)
class SlotTimes:
    """A slot's three local times of day: opens, on time until (check-in) or from (check-out), closes."""

    opens: time
    on_time_until: time
    closes: time


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day without duty; week_days empty means all groups of schools."""

    name: str
    week_days: frozenset[int]


@dataclass(frozen=True, slots=True)
class Window:
    """A slot's three moments on one work date, aware."""

    slot: Slot
    opens: datetime
    on_time_until: datetime
    closes: datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """One dated version of the rules.

    schedules maps (working days a week of the school, ISO weekday) to the day's slots; a pair that is missing is a free
    day. classes maps class numbers to their first minute, ascending.
    """

    version: int
    valid_from: date
    zone: ZoneInfo
    schedules: Mapping[tuple[int, int], Mapping[Slot, SlotTimes]]
    holidays: Mapping[date, Holiday]
    grace: timedelta
    classes: Sequence[tuple[int, int]]
    anchor_max_age: timedelta
    online_queue_limit: timedelta
    late_sync: timedelta
    review_delay: timedelta
    poor_accuracy_m: float
    tap_id_tolerance: timedelta
    clock_disagreement: timedelta

    def groups(self) -> frozenset[int]:
        """The groups of schools (working days a week) there are schedules for."""
        return frozenset(week_days for week_days, _ in self.schedules)

    def day_off_reason(self, work_date: date, week_days: int) -> str | None:
        """Why work_date is free for this group, in Bahasa Indonesia; None when it is a working day."""
        holiday = self.holidays.get(work_date)
        if holiday is not None and (not holiday.week_days or week_days in holiday.week_days):
            return holiday.name
        if not self.schedules.get((week_days, work_date.isoweekday())):
            return "Bukan hari kerja"
        return None

    def windows(self, work_date: date, week_days: int) -> Mapping[Slot, Window]:
        """The windows of work_date for this group; empty when it is free."""
        if self.day_off_reason(work_date, week_days) is not None:
            return {}
        times = self.schedules[week_days, work_date.isoweekday()]
        return {
            slot: Window(
                slot,
                datetime.combine(work_date, at.opens, self.zone),
                datetime.combine(work_date, at.on_time_until, self.zone),
                datetime.combine(work_date, at.closes, self.zone),
            )
            for slot, at in times.items()
        }

    def minutes_class(self, minutes: int) -> int:
        """The class (TL or PSW) these minutes fall into; 0 for none."""
        found = 0
        for number, first in self.classes:
            if minutes >= first:
                found = number
        return found


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """All policy versions of a regency, oldest first. The one in force on a date is the last that is valid by then."""

    policies: Sequence[Policy]

    def __post_init__(self) -> None:
        """Refuse an empty book, and versions or dates that do not ascend."""
        if not self.policies:
            raise ValueError("a policy book needs at least one policy")
        for older, newer in pairwise(self.policies):
            if newer.version <= older.version or newer.valid_from < older.valid_from:
                raise ValueError("policy versions and their dates must ascend")

    def on(self, work_date: date) -> Policy:
        """The policy in force on work_date; before the first, the first (a wild clock leaves no tap unjudged)."""
        chosen = self.policies[0]
        for policy in self.policies:
            if policy.valid_from <= work_date:
                chosen = policy
        return chosen

    def at(self, moment: datetime) -> Policy:
        """The policy in force on the local date of moment."""
        return self.on(moment.astimezone(self.policies[-1].zone).date())
