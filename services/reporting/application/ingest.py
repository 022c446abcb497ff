"""Takes in what other services tell: taps and people. Idempotent, in any order. Owned by reporting."""

from collections.abc import Iterable
from datetime import datetime

from services.reporting.application.judging import assess_person_days
from services.reporting.application.ports import PersonRecord, ReadModel, SchoolRecord, TapRecord
from services.reporting.domain.policy import PolicyBook


async def take_taps(model: ReadModel, book: PolicyBook, taps: Iterable[TapRecord], *, now: datetime) -> None:
    """Stores taps and assesses the days they touch. Practice taps are stored and touch nothing."""
    once = {tap.tap_id: tap for tap in taps}
    # Sorted, so that two transactions with the same taps (a redelivery) wait for each other in one order.
    days = await model.add_taps([once[tap_id] for tap_id in sorted(once)])
    await assess_person_days(model, book, days, now=now)


async def take_people(
    model: ReadModel,
    book: PolicyBook,
    people: Iterable[PersonRecord],
    schools: Iterable[SchoolRecord],
    *,
    now: datetime,
    reconcile: bool = False,
) -> None:
    """Stores newer versions of people and schools, and assesses again the days that a change concerns.

    These are the undecided ones, and those from the change's own date on, decided or not: the change may be told
    after taps that came later. Decided days before it stay: a transfer or a new working week does not rewrite
    history. `reconcile` also takes schools that differ at the same version (`ReadModel.put_schools`).
    """
    newest_school: dict[str, SchoolRecord] = {}
    for school in schools:
        told = newest_school.get(school.npsn)
        if told is None or told.version < school.version:
            newest_school[school.npsn] = school
    newest_person: dict[str, PersonRecord] = {}
    for person in people:
        held = newest_person.get(person.person_id)
        known = person.known_since if held is None else min(held.known_since, person.known_since)
        newest = person if held is None or held.version < person.version else held
        newest_person[person.person_id] = newest._replace(known_since=known)
    changed_schools = await model.put_schools(
        [newest_school[npsn] for npsn in sorted(newest_school)], reconcile=reconcile
    )
    changed_people = await model.put_people([newest_person[key] for key in sorted(newest_person)])
    if not newest_person:
        return
    first = min(person.known_since for person in newest_person.values())
    since = first.astimezone(book.newest.zone).date()
    days = await model.concerned(changed_people, changed_schools, since=since)
    await assess_person_days(model, book, days, now=now)
