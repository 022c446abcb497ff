"""Fills or mends the read model from the services that own the facts, in place of their events. Owned by reporting.

For a new deployment, for a gap in the stream longer than its retention, and to reconcile. Nothing is deleted and
nothing older replaces something newer, so that it can run beside the consumers, twice, and after a break-off.
Revisions of days go on where they are: consumers of DayAssessed would ignore days that began anew at 1.
"""

from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from services.reporting.application.ingest import take_people
from services.reporting.application.judging import assess_person_days
from services.reporting.application.ports import (
    Clock,
    PersonRecord,
    RevokedDevice,
    SchoolRecord,
    TapRecord,
    Transaction,
)
from services.reporting.domain.facts import PersonDay
from services.reporting.domain.policy import PolicyBook


class RosterPage(NamedTuple):
    """Some people of the roster and their schools; a school's version is 0, the roster does not tell it."""

    people: list[PersonRecord]
    schools: list[SchoolRecord]


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild read, and what it added: `new_taps` are the unknown ones, practice taps aside."""

    people: int = 0
    revoked: int = 0
    taps: int = 0
    new_taps: int = 0


async def rebuild(
    *,
    roster: AsyncIterable[RosterPage],
    revoked: AsyncIterable[list[RevokedDevice]],
    taps: AsyncIterable[list[TapRecord]],
    begin: Callable[[], Transaction],
    book: PolicyBook,
    clock: Clock,
    told: Callable[[Rebuilt], None],
) -> Rebuilt:
    """Takes in the whole roster, the revoked devices, then taps, a page per transaction; idempotent.

    Args:
        roster: pages of auth's people.
        revoked: pages of the devices that auth has revoked.
        taps: pages of checkin's taps, practice taps too.
        begin: makes a transaction on the read model.
        book: the rules.
        clock: the time.
        told: called after each page, for progress.
    """
    done = Rebuilt()
    async with begin() as model:
        # Read before the roster: a school that an event changes meanwhile has a higher version and stays.
        versions = await model.school_versions()
    async for page in roster:
        schools = [school._replace(version=versions.get(school.npsn, 0)) for school in page.schools]
        async with begin() as model:
            await take_people(model, book, page.people, schools, now=clock.now(), reconcile=True)
        done.people += len(page.people)
        told(done)
    async for devices in revoked:
        if devices:
            async with begin() as model:
                await model.note_revoked(devices, now=clock.now())
            done.revoked += len(devices)
            told(done)
    async for batch in taps:
        async with begin() as model:
            new = await model.add_taps(sorted(batch, key=lambda tap: tap.tap_id))
            # Also the days of known taps, in case it is the assessments that are gone.
            days = {PersonDay(tap.person_id, tap.work_date) for tap in batch if not tap.practice}
            await assess_person_days(model, book, days, now=clock.now())
        done.taps += len(batch)
        done.new_taps += len(new)
        told(done)
    return done
