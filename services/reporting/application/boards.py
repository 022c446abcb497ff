"""The board for any number of watchers at the price of one. Owned by reporting.

All who look at the same date and slot share one reading of the database, at most once a second, and one sum per
area; a watcher's own part is the difference to what it was told last.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from services.reporting.application.errors import TooManyWatchersError
from services.reporting.application.ports import Clock, Queries
from services.reporting.domain.board import Area, Board, Counts, Row, SchoolHeads, board_of, changed_rows
from services.reporting.domain.facts import Slot
from services.reporting.domain.policy import PolicyBook

FRESH_SECONDS = 1.0
"""Age up to which a reading is shared; also the pace of a watch. The service level is a board fresher than 5 s."""

HEARTBEAT_SECONDS = 15.0
"""Longest silence of a watch: below the idle timeouts of edges and of mobile networks."""

MAX_KEPT = 32
"""Readings kept: dates and slots that somebody looks at at the same time; the longest unused is let go."""

_Key = tuple[date, Slot]


class Update(NamedTuple):
    """One message of a watch: the unit as a whole, all rows (full) or the changed ones."""

    total: Counts
    rows: tuple[Row, ...]
    as_of: datetime
    full: bool


@dataclass(slots=True)
class _Reading:
    heads: list[SchoolHeads]
    as_of: datetime
    at: float
    boards: dict[Area, Board] = field(default_factory=dict)


class Boards:
    """Boards and watches.

    Args:
        queries: of the read model.
        book: the rules; they say who has duty.
        clock: the time.
        max_watchers: watches this process serves at once; the next one is refused.
        fresh_seconds: see `FRESH_SECONDS`.
        heartbeat_seconds: see `HEARTBEAT_SECONDS`.
    """

    def __init__(
        self,
        *,
        queries: Queries,
        book: PolicyBook,
        clock: Clock,
        max_watchers: int,
        fresh_seconds: float = FRESH_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._queries = queries
        self._book = book
        self._clock = clock
        self._max_watchers = max_watchers
        self._fresh = fresh_seconds
        # A look before the last one in time would come after it.
        self._silence = heartbeat_seconds - fresh_seconds
        self._watchers = 0
        self._readings: OrderedDict[_Key, _Reading] = OrderedDict()
        self._running: dict[_Key, asyncio.Task[_Reading]] = {}

    @property
    def watchers(self) -> int:
        """Watches being served now."""
        return self._watchers

    async def board(self, work_date: date, slot: Slot, area: Area) -> tuple[Board, datetime]:
        """The board of an area, at most `FRESH_SECONDS` old, and when it was read."""
        reading = await self._reading((work_date, slot))
        return self._board(reading, (work_date, slot), area), reading.as_of

    async def watch(
        self, work_date: date, slot: Slot, area: Area, *, until: datetime | None
    ) -> AsyncIterator[Update]:
        """The whole board, then what changes, at most once a second; an empty update as a sign of life.

        Args:
            work_date: the local date.
            slot: the slot.
            area: what is watched.
            until: ends there, so that who watches "today" asks again on the next day; None means never.

        Raises:
            TooManyWatchersError: this process serves as many as it may.
        """
        if self._watchers >= self._max_watchers:
            raise TooManyWatchersError
        self._watchers += 1
        try:
            told, as_of = await self.board(work_date, slot, area)
            told_at = self._clock.monotonic()
            yield Update(told.total, told.rows, as_of, full=True)
            while until is None or self._clock.now() < until:
                await asyncio.sleep(self._fresh)
                board, as_of = await self.board(work_date, slot, area)
                rows = () if board is told else changed_rows(told, board)
                silent = self._clock.monotonic() - told_at
                if rows or board.total != told.total or silent >= self._silence:
                    told_at = self._clock.monotonic()
                    yield Update(board.total, rows, as_of, full=False)
                told = board
        finally:
            self._watchers -= 1

    def duty_groups(self, work_date: date, slot: Slot) -> frozenset[int]:
        """Groups (working days per week) whose schools have duty in a slot of a date."""
        policy = self._book.on(work_date)
        return frozenset(
            group
            for group in policy.weeks
            if any(times.slot == slot for times in policy.slots_on(work_date, group))
        )

    def _board(self, reading: _Reading, key: _Key, area: Area) -> Board:
        board = reading.boards.get(area)
        if board is None:
            board = reading.boards[area] = board_of(reading.heads, self.duty_groups(*key), area)
        return board

    async def _reading(self, key: _Key) -> _Reading:
        kept = self._readings.get(key)
        if kept is not None and self._clock.monotonic() - kept.at < self._fresh:
            self._readings.move_to_end(key)
            return kept
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.create_task(self._read(key), name="board reading")
            running.add_done_callback(lambda task: self._finished(key, task))
        # Shielded: the caller that happened to start it may go away while others wait for it.
        return await asyncio.shield(running)

    def _finished(self, key: _Key, task: asyncio.Task[_Reading]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            # Asked for, so that a reading whose callers all left does not complain that nobody looked at its error.
            task.exception()

    async def _read(self, key: _Key) -> _Reading:
        at, as_of = self._clock.monotonic(), self._clock.now()
        heads = await self._queries.heads(*key)
        reading = _Reading(heads, as_of, at)
        before = self._readings.get(key)
        if before is not None and before.heads == heads:
            # The same sums, the same objects: watchers see at a glance that nothing changed.
            reading.boards = before.boards
        self._readings[key] = reading
        self._readings.move_to_end(key)
        while len(self._readings) > MAX_KEPT:
            self._readings.popitem(last=False)
        return reading
