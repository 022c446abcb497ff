"""What a phone and the peakscaler may know ahead: windows of coming days, and the heads expected in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from services.checkin.application.ports import PeopleReads
from services.checkin.domain.policy import Policy, PolicyBook, Window
from services.checkin.domain.tap import School

# A person the roster here does not know yet sees the longer week, as their taps are judged by it.
_WEEK_DAYS_WHEN_UNKNOWN = 6


@dataclass(frozen=True, slots=True)
class DayPlan:
    """One work date: its windows, or why it is free (Bahasa Indonesia)."""

    work_date: date
    reason: str | None
    windows: Sequence[Window]


@dataclass(frozen=True, slots=True)
class Plan:
    """A person's plan: days in order, their school (None when unknown), the policy in force, the server's time."""

    days: Sequence[DayPlan]
    school: School | None
    policy: Policy
    now: datetime


@dataclass(frozen=True, slots=True)
class WindowForecast:
    """One window of one group of schools (working days a week) and the people expected in it."""

    week_days: int
    window: Window
    heads: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """The load of one date; windows is empty on a day off. people counts the whole roster."""

    day: date
    windows: Sequence[WindowForecast]
    people: int
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Answers plans and forecasts."""

    people: PeopleReads
    book: PolicyBook
    now: Callable[[], datetime]

    def today(self) -> date:
        """The local date now."""
        now = self.now()
        return now.astimezone(self.book.at(now).zone).date()

    async def plan(self, person_id: UUID, days: int) -> Plan:
        """The plan of a person for days (1 to 31) from today on."""
        school = await self.people.school_of(person_id)
        week_days = school.week_days if school is not None else _WEEK_DAYS_WHEN_UNKNOWN
        now, today = self.now(), self.today()
        planned = []
        for work_date in (today + timedelta(days=count) for count in range(days)):
            policy = self.book.on(work_date)
            reason = policy.day_off_reason(work_date, week_days)
            windows = sorted(policy.windows(work_date, week_days).values(), key=lambda window: window.slot)
            planned.append(DayPlan(work_date, reason, windows))
        return Plan(planned, school, self.book.on(today), now)

    async def forecast(self, day: date) -> Forecast:
        """The heads expected in each window of day, by group of schools; no personal data."""
        heads = await self.people.heads()
        policy = self.book.on(day)
        windows = [
            WindowForecast(week_days, window, count)
            for week_days, count in sorted(heads.items())
            for window in sorted(policy.windows(day, week_days).values(), key=lambda window: window.slot)
        ]
        return Forecast(day, windows, sum(heads.values()), policy)
