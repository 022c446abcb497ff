"""Assesses person-days in bulk, within the transaction that brought new facts. Owned by reporting.

Everything that touches a day goes through `assess_person_days`: taps, roster changes, the clock. It reads all
facts of the day again instead of adding to a state, so that order, repetition and lateness of events cannot
matter.
"""

from collections.abc import Collection
from datetime import date, datetime

from services.reporting.application.ports import AssessedDay, ReadModel
from services.reporting.domain.assess import assess_day
from services.reporting.domain.facts import PersonDay
from services.reporting.domain.policy import DutyDay, PolicyBook, SchoolCalendar, duty_day

CHUNK = 1_000
"""Most person-days read and written by one round of statements; bounds memory and the size of a statement."""


async def assess_person_days(
    model: ReadModel, book: PolicyBook, days: Collection[PersonDay], *, now: datetime
) -> None:
    """Assesses these days and stores what changed. Idempotent.

    Days of people not known yet are left: they are assessed when the person becomes known.
    """
    # Sorted by person, so that transactions lock the same people in the same order.
    ordered = sorted(set(days))
    for begin in range(0, len(ordered), CHUNK):
        await _assess(model, book, ordered[begin : begin + CHUNK], now=now)


async def _assess(model: ReadModel, book: PolicyBook, days: list[PersonDay], *, now: datetime) -> None:
    schools = await model.lock_people({day.person_id for day in days})
    known = [day for day in days if day.person_id in schools]
    if not known:
        return
    facts = await model.facts(known)
    npsn_of = {day: facts[day].npsn or schools[day.person_id] for day in known}
    week_days = await model.week_days(set(npsn_of.values()) | {schools[day.person_id] for day in known})
    # Most schools have no rule of their own and share the duty of their week.
    special = book.schools_with_rules
    duties: dict[tuple[date, int, str], DutyDay] = {}
    assessed: list[AssessedDay] = []
    for day in known:
        # A school that only checkin knows yet cannot say its week; the person's own school can.
        npsn = npsn_of[day] if npsn_of[day] in week_days else schools[day.person_id]
        calendar = SchoolCalendar(npsn if npsn in special else "", week_days.get(npsn, 0))
        key = (day.work_date, calendar.week_days, calendar.npsn)
        if key not in duties:
            duties[key] = duty_day(book.on(day.work_date), calendar, day.work_date)
        assessed.append(AssessedDay(day, npsn, assess_day(duties[key], facts[day].taps, now=now)))
    await model.save(assessed, now=now)
