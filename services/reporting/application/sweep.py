"""What the clock alone decides: windows that closed, late-sync hours that ended. Owned by reporting.

Each function does one bounded batch in one transaction and says whether there may be more, so that the caller
sets the pace. All are idempotent, and several processes may run them at once.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta

from services.reporting.application.judging import assess_person_days
from services.reporting.application.ports import Transaction
from services.reporting.domain.policy import PolicyBook, SchoolCalendar, duty_day

BATCH = 500
"""Person-days of one transaction: some 50 ms, so that taps are not kept waiting."""

ROLL_CALL_DAYS = 31
"""How far back a missed roll call is made up for: a service that was down for longer is rebuilt by hand."""

OPEN_DAYS = 3
"""So many days a roll call is repeated before it is done for good: a roster change that was told late, because
NATS or this service was away, still finds its people."""


_OPEN = timedelta(days=OPEN_DAYS)


class Sweeper:
    """Keeps person-days in step with the clock.

    Args:
        begin: makes a transaction on the read model.
        book: the rules.
    """

    def __init__(self, *, begin: Callable[[], Transaction], book: PolicyBook) -> None:
        self._begin = begin
        self._book = book

    async def settle(self, *, now: datetime) -> bool:
        """Decides a batch of days whose last source has run dry; True when there may be more."""
        async with self._begin() as model:
            days = await model.due(now=now, limit=BATCH)
            await assess_person_days(model, self._book, days, now=now)
            return len(days) == BATCH

    async def call_roll(self, *, now: datetime) -> bool:
        """Gives a day to people who registered nothing, once their first window of a date has closed.

        Only people whom the roster knew before that day's first window opened: nobody is absent from a day before
        they were known. True when there may be more.
        """
        today = now.astimezone(self._book.newest.zone).date()
        # A tap before the first rules is judged by them, but nobody is absent from a day that no rule asked for.
        first = max(today - timedelta(days=ROLL_CALL_DAYS), self._book.begins)
        async with self._begin() as model:
            done = await model.called(first, today)
        for offset in range((today - first).days + 1):
            work_date = first + timedelta(days=offset)
            for week_days in sorted(self._book.on(work_date).weeks):
                if (work_date, week_days) in done:
                    continue
                if await self._call(work_date, week_days, now=now, for_good=today - work_date > _OPEN):
                    return True
        return False

    async def _call(self, work_date: date, week_days: int, *, now: datetime, for_good: bool) -> bool:
        opens = self._first_closed_window(work_date, week_days, now)
        if opens is None:
            return False
        async with self._begin() as model:
            absent = await model.absent(work_date, week_days, known_before=opens, limit=BATCH)
            await assess_person_days(model, self._book, absent, now=now)
            more = len(absent) == BATCH
            if for_good and not more:
                await model.mark_called(work_date, week_days, now=now)
        return more

    def _first_closed_window(self, work_date: date, week_days: int, now: datetime) -> datetime | None:
        """When the first window opened that day, once it has closed; None before that and on days off."""
        windows = duty_day(self._book.on(work_date), SchoolCalendar("", week_days), work_date).windows
        if not windows:
            return None
        first = min(windows, key=lambda window: window.opens)
        return first.opens if first.closes < now else None
