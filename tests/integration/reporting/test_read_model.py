"""The read model on real PostgreSQL: whatever the order, the repetition and the company of events."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from services.reporting.adapters.messages import person_record, school_record, tap_record
from services.reporting.adapters.policy_file import load_policies
from services.reporting.adapters.read_model import PostgresTransaction
from services.reporting.application.sweep import Sweeper
from services.reporting.domain.policy import PolicyBook
from services.reporting.entrypoints.consumers import ForeignEventError, PersonEvents, TapEvents
from tests.integration.reporting.world import (
    MONDAY,
    WorldClock,
    dump,
    event,
    local,
    model_of,
    new_regency,
    person,
    person_id,
    tap,
)
from tests.parts import Database

BOOK = load_policies(None, zone="Asia/Makassar")
OUT = tap_pb2.SLOT_OUT


def handlers(regency: str, clock: WorldClock) -> dict[str, Any]:
    common: dict[str, Any] = {"model": model_of(regency), "book": BOOK, "clock": clock, "regency": regency}
    return {
        "PersonChanged": PersonEvents(**common, read_person=person_record, read_school=school_record),
        "TapAccepted": TapEvents(**common, read_tap=tap_record),
    }


async def apply(
    engine: AsyncEngine, regency: str, messages: Sequence[Message], *, clock: WorldClock | None = None
) -> None:
    """One batch for each kind, in the order in which kinds come first."""
    known = handlers(regency, clock or WorldClock(local("07:15:00")))
    for kind in dict.fromkeys(message.DESCRIPTOR.name for message in messages):
        async with engine.begin() as connection:
            batch = [event(message) for message in messages if message.DESCRIPTOR.name == kind]
            await known[kind].apply(connection, batch)


def story(regency: str) -> list[Message]:
    """People who come and change, and their taps: late, early, twice, practising, unknown for a while."""
    return [
        *(person(regency, number, school=number % 3) for number in range(9)),
        person(regency, 0, school=0, version=3, active=True),
        person(regency, 1, school=1, version=2, active=False),
        person(regency, 2, school=2, version=2),
        person(regency, 4, school=1, version=2, week_days=6, school_version=2),
        tap(regency, 7, "06:30:00", day=MONDAY + timedelta(days=5), school=1),
        *(tap(regency, number, f"06:5{number}:00", school=number % 3) for number in range(6)),
        tap(regency, 0, "07:40:00"),
        tap(regency, 3, "07:40:00", flags=[2, 4]),
        tap(regency, 4, "15:00:00", slot=OUT, school=1),
        tap(regency, 4, "15:45:00", slot=OUT, school=1),
        tap(regency, 5, "06:10:00", practice=True, school=2),
        tap(regency, 6, "06:20:00", time_grade=tap_pb2.TIME_GRADE_CLAIMED),
        tap(regency, 7, "03:20:00", school=1),
        tap(regency, 8, "06:59:00", day=MONDAY + timedelta(days=6), school=2),
        tap(regency, 8, "06:59:00", school=None),
    ]


async def test_unordered_repeated_and_late_events_make_the_same_read_model(engine: AsyncEngine) -> None:
    chance = random.Random(7)
    dumps = []
    for turn in range(8):
        regency = new_regency()
        messages = story("0000")
        if turn:
            messages = [*messages, *chance.sample(messages, 10)]
            chance.shuffle(messages)
        for message in messages:
            if isinstance(message, events_pb2.TapAccepted):
                message.tap.regency = regency
            elif isinstance(message, events_pb2.PersonChanged):
                message.regency = regency
        while messages:
            size = chance.randint(1, 9) if turn else len(messages)
            await apply(engine, regency, messages[:size])
            messages = messages[size:]
        dumps.append(await dump(engine, regency))
    assert len(dumps[0]["taps"]) == 16
    assert len(dumps[0]["days"]) == 11
    for other in dumps[1:]:
        assert other == dumps[0]


async def test_a_tap_before_its_person_waits_for_them(engine: AsyncEngine) -> None:
    regency = new_regency()
    await apply(engine, regency, [tap(regency, 1)])
    assert (await dump(engine, regency))["days"] == []
    await apply(engine, regency, [person(regency, 1)])
    days = (await dump(engine, regency))["days"]
    assert [day["status_code"] for day in days] == ["H"]


async def test_only_newer_versions_count(engine: AsyncEngine) -> None:
    regency = new_regency()
    await apply(engine, regency, [person(regency, 1, version=5, school=2, name="SD Baru")])
    older = person(regency, 1, version=4, school=2, name="SD Lama", school_version=0)
    await apply(engine, regency, [older])
    found = await dump(engine, regency)
    assert found["schools"][0]["name"] == "SD Baru"
    assert found["people"][0]["version"] == 5


async def test_the_same_events_again_change_and_announce_nothing(engine: AsyncEngine) -> None:
    regency = new_regency()
    await apply(engine, regency, story(regency))
    announced = await outbox(engine, regency)
    before = await revisions(engine, regency)
    await apply(engine, regency, story(regency))
    assert await outbox(engine, regency) == announced
    assert await revisions(engine, regency) == before
    assert announced == sum(before)


async def test_two_transactions_on_one_day_see_each_other(engine: AsyncEngine) -> None:
    """Check-in and check-out of a person in two batches at once: neither assessment forgets the other tap."""
    regency = new_regency()
    people = range(40)
    await apply(engine, regency, [person(regency, number) for number in people])
    await asyncio.gather(
        *(apply(engine, regency, [tap(regency, number) for number in people]) for _ in range(2)),
        *(
            apply(engine, regency, [tap(regency, n, "15:40:00", slot=OUT) for n in reversed(people)])
            for _ in range(2)
        ),
    )
    days = (await dump(engine, regency))["days"]
    assert [(day["in_result"], day["out_result"]) for day in days] == [(1, 1)] * 40


async def test_people_and_taps_at_once_leave_no_day_out(engine: AsyncEngine) -> None:
    for _ in range(5):
        regency = new_regency()
        await asyncio.gather(
            apply(engine, regency, [person(regency, number) for number in range(30)]),
            apply(engine, regency, [tap(regency, number) for number in range(30)]),
        )
        days = (await dump(engine, regency))["days"]
        assert [day["in_result"] for day in days] == [1] * 30


async def test_a_transfer_leaves_decided_days_with_the_old_school(engine: AsyncEngine) -> None:
    regency = new_regency()
    await apply(
        engine,
        regency,
        [person(regency, 1, school=0), tap(regency, 1), tap(regency, 1, "15:31:00", slot=OUT)],
    )
    await apply(engine, regency, [person(regency, 1, school=2, version=2)])
    found = await dump(engine, regency)
    assert found["days"][0]["npsn"] == "50203000"
    assert found["people"][0]["npsn"] == "50203002"


@pytest.mark.parametrize(("changed_on", "code"), [(4, "H"), (6, "")])
async def test_a_new_week_holds_from_its_date_on_and_rewrites_no_history(
    engine: AsyncEngine, changed_on: int, code: str
) -> None:
    regency = new_regency()
    saturday = MONDAY + timedelta(days=5)
    await apply(engine, regency, [person(regency, 1, school=1), tap(regency, 1, day=saturday, school=1)])
    assert (await dump(engine, regency))["days"][0]["status_code"] == ""
    changed = person(regency, 1, school=1, version=2, week_days=6, school_version=2)
    known = handlers(regency, WorldClock(local("07:15:00")))["PersonChanged"]
    async with engine.begin() as connection:
        await known.apply(
            connection, [event(changed, at=local("10:00:00", MONDAY + timedelta(days=changed_on)))]
        )
    assert (await dump(engine, regency))["days"][0]["status_code"] == code


async def test_another_regency_s_event_is_refused(engine: AsyncEngine) -> None:
    regency = new_regency()
    with pytest.raises(ForeignEventError):
        await apply(engine, regency, [tap("9999", 1)])


async def test_the_clock_alone_decides_absent_days(engine: AsyncEngine) -> None:
    regency = new_regency()
    await apply(engine, regency, [person(regency, number, school=number % 3) for number in range(6)])
    await apply(engine, regency, [tap(regency, 0)])
    sweeper = Sweeper(begin=lambda: PostgresTransaction(engine, regency=regency), book=BOOK)

    async def sweep(now: Any) -> list[tuple[Any, Any, str]]:
        while await sweeper.settle(now=now) or await sweeper.call_roll(now=now):
            pass
        days = (await dump(engine, regency))["days"]
        return sorted(
            (day["in_result"], day["out_result"], day["status_code"])
            for day in days
            if day["work_date"] == MONDAY
        )

    assert await sweep(local("11:00:00")) == [(1, 5, "H")]
    assert await sweep(local("12:00:01")) == [(1, 5, "H"), *[(5, 5, "")] * 5]
    complete = local("23:00:00") + timedelta(hours=72)
    assert await sweep(complete) == [(1, 5, "H"), *[(4, 5, "")] * 5]
    decided = [(1, 4, "H"), *[(4, 4, "A")] * 5]
    assert await sweep(complete + timedelta(seconds=1)) == decided
    before = (await revisions(engine, regency))[:6]
    assert await sweep(complete + timedelta(days=2)) == decided
    assert (await revisions(engine, regency))[:6] == before


async def test_nobody_is_absent_from_a_day_before_the_roster_knew_them(engine: AsyncEngine) -> None:
    regency = new_regency()
    clock = WorldClock(local("09:00:00"))
    known = handlers(regency, clock)["PersonChanged"]
    async with engine.begin() as connection:
        await known.apply(connection, [event(person(regency, 1), at=local("05:00:01"))])
        await known.apply(connection, [event(person(regency, 2), at=local("04:59:59"))])
    sweeper = Sweeper(begin=lambda: PostgresTransaction(engine, regency=regency), book=BOOK)
    while await sweeper.call_roll(now=local("13:00:00")):
        pass
    days = (await dump(engine, regency))["days"]
    assert [str(day["person_id"]) for day in days] == [person_id(regency, 2)]


async def test_before_the_first_policy_a_tap_is_judged_and_nobody_is_absent(engine: AsyncEngine) -> None:
    regency = new_regency()
    book = PolicyBook((replace(BOOK.newest, valid_from=MONDAY + timedelta(days=1)),))
    await apply(engine, regency, [person(regency, number) for number in (1, 2)])
    known = TapEvents(
        model=model_of(regency),
        book=book,
        clock=WorldClock(local("12:30:00")),
        regency=regency,
        read_tap=tap_record,
    )
    async with engine.begin() as connection:
        await known.apply(connection, [event(tap(regency, 1, "07:30:00"))])
    sweeper = Sweeper(begin=lambda: PostgresTransaction(engine, regency=regency), book=book)
    while await sweeper.call_roll(now=local("13:00:00", MONDAY + timedelta(days=1))):
        pass
    days = (await dump(engine, regency))["days"]
    found = {(day["work_date"], str(day["person_id"])): day["in_minutes"] for day in days}
    tuesday = MONDAY + timedelta(days=1)
    assert found == {
        (MONDAY, person_id(regency, 1)): 30,
        (tuesday, person_id(regency, 1)): 0,
        (tuesday, person_id(regency, 2)): 0,
    }


async def test_the_serving_role_can_change_rows_and_nothing_else(migrated: Database) -> None:
    runtime = await migrated.connect("hadir_reporting")
    for statement in (
        "CREATE TABLE reporting.x (i int)",
        "DROP TABLE reporting.taps",
        "TRUNCATE reporting.taps",
    ):
        with pytest.raises(Exception, match=r"permission denied|must be owner"):
            await runtime.execute(statement)
    others = await migrated.connect("hadir_checkin")
    with pytest.raises(Exception, match="permission denied"):
        await others.fetch("SELECT * FROM reporting.people")
    await runtime.close()
    await others.close()


async def outbox(engine: AsyncEngine, regency: str) -> int:
    async with engine.connect() as connection:
        count: int = (
            await connection.execute(
                text("SELECT count(*) FROM reporting.outbox WHERE subject LIKE :like"),
                {"like": f"%.{regency}.%"},
            )
        ).scalar_one()
    return count


async def revisions(engine: AsyncEngine, regency: str) -> list[int]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT revision FROM reporting.days WHERE regency = :regency ORDER BY work_date, person_id"
            ),
            {"regency": regency},
        )
        return list(rows.scalars())
