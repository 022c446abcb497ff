"""Boards: one reading for all, watches that tell changes, and a reading that outlives who asked for it."""

import asyncio
from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.reporting.adapters.policy_file import load_policies
from services.reporting.application.boards import MAX_KEPT, Boards
from services.reporting.application.errors import TooManyWatchersError
from services.reporting.domain.board import Area, SchoolHeads
from services.reporting.domain.facts import Slot
from tests.fakes.clock import FakeClock

MONDAY = date(2026, 8, 3)


class Heads:
    """The one query that boards ask, counted."""

    def __init__(self) -> None:
        self.present = 0
        self.asked = 0
        self.failure: Exception | None = None
        self.slow = asyncio.Event()
        self.slow.set()

    async def heads(self, work_date: date, slot: Slot) -> list[SchoolHeads]:
        self.asked += 1
        await self.slow.wait()
        if self.failure is not None:
            raise self.failure
        school = SchoolHeads("50203000", "SD", "52.02.01", "Praya", 6, 10, self.present, 0, 0)
        other = SchoolHeads("50203001", "SD", "52.02.02", "Jonggat", 6, 10, 0, 0, 0)
        return [school, other]


def boards_of(heads: Heads, clock: FakeClock, **options: Any) -> Boards:
    queries: Any = heads
    return Boards(
        queries=queries,
        book=load_policies(None, zone="Asia/Makassar"),
        clock=clock,
        max_watchers=2,
        **options,
    )


async def test_all_who_ask_within_a_second_share_one_reading() -> None:
    heads, clock = Heads(), FakeClock()
    boards = boards_of(heads, clock)
    await asyncio.gather(*(boards.board(MONDAY, Slot.IN, Area(npsn=f"{n}")) for n in range(50)))
    assert heads.asked == 1
    clock.advance(0.9)
    await boards.board(MONDAY, Slot.IN, Area())
    assert heads.asked == 1
    clock.advance(0.2)
    await boards.board(MONDAY, Slot.IN, Area())
    await boards.board(MONDAY, Slot.OUT, Area())
    assert heads.asked == 3


async def test_a_reading_outlives_who_asked_for_it_first() -> None:
    heads = Heads()
    heads.slow.clear()
    boards = boards_of(heads, FakeClock())
    first = asyncio.create_task(boards.board(MONDAY, Slot.IN, Area()))
    second = asyncio.create_task(boards.board(MONDAY, Slot.IN, Area()))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    heads.slow.set()
    board, _ = await second
    assert (board.total.expected, heads.asked) == (20, 1)


async def test_a_reading_that_failed_is_told_to_all_and_tried_again_by_the_next() -> None:
    heads = Heads()
    heads.failure = ConnectionError("away")
    boards = boards_of(heads, FakeClock())
    answers = await asyncio.gather(
        *(boards.board(MONDAY, Slot.IN, Area()) for _ in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    heads.failure = None
    assert (await boards.board(MONDAY, Slot.IN, Area()))[0].total.expected == 20


async def test_the_longest_unused_readings_are_let_go() -> None:
    heads = Heads()
    boards = boards_of(heads, FakeClock())
    for day in range(1, MAX_KEPT + 2):
        await boards.board(
            date(2026, 8, 1).replace(day=(day - 1) % 31 + 1, month=8 + day // 32), Slot.IN, Area()
        )
    assert len(boards._readings) == MAX_KEPT


async def test_a_watch_tells_the_board_then_changes_then_that_it_lives() -> None:
    heads, clock = Heads(), FakeClock()
    boards = boards_of(heads, clock, fresh_seconds=0.01, heartbeat_seconds=15)
    watch = boards.watch(MONDAY, Slot.IN, Area(), until=None)
    first = await anext(watch)
    assert (first.full, first.total.present, len(first.rows)) == (True, 0, 4)
    heads.present = 3
    clock.advance(1)
    change = await anext(watch)
    assert (change.full, change.total.present, [row.code for row in change.rows]) == (
        False,
        3,
        ["52.02.01", "50203000"],
    )
    waiting = asyncio.ensure_future(anext(watch))
    clock.advance(1)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    clock.advance(14.5)
    alive = await waiting
    assert (alive.full, alive.rows, alive.total.present) == (False, (), 3)
    await watch.aclose()  # type: ignore[attr-defined]
    assert boards.watchers == 0


async def test_a_watch_ends_at_its_end() -> None:
    heads, clock = Heads(), FakeClock()
    until = datetime(2026, 8, 3, 16, tzinfo=UTC)
    watch = boards_of(heads, clock, fresh_seconds=0.001).watch(MONDAY, Slot.IN, Area(), until=until)
    assert (await anext(watch)).full
    clock.advance(17 * 3600)
    assert [update async for update in watch] == []


async def test_watches_are_bounded_and_given_back() -> None:
    boards = boards_of(Heads(), FakeClock())
    watches = [boards.watch(MONDAY, Slot.IN, Area(), until=None) for _ in range(3)]
    await anext(watches[0])
    await anext(watches[1])
    with pytest.raises(TooManyWatchersError):
        await anext(watches[2])
    await watches[0].aclose()  # type: ignore[attr-defined]
    assert (await anext(boards.watch(MONDAY, Slot.IN, Area(), until=None))).full


def test_duty_is_asked_of_the_policy() -> None:
    boards = boards_of(Heads(), FakeClock())
    assert boards.duty_groups(MONDAY, Slot.IN) == {5, 6}
    assert boards.duty_groups(date(2026, 8, 8), Slot.OUT) == {6}
    assert boards.duty_groups(date(2026, 8, 9), Slot.IN) == frozenset()
    assert boards.duty_groups(date(2020, 1, 1), Slot.IN) == {5, 6}
