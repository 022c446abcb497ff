"""The device stream against a feed that a test controls."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.auth.application.ports import ChangesPage, FeedPosition
from services.auth.application.watch_devices import (
    BATCH,
    DeviceBatch,
    WatchDevices,
    read_resume_token,
    resume_token,
)
from services.auth.domain.people import Device

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def device(number: int, version: int = 1) -> Device:
    return Device(UUID(int=number), UUID(int=number), b"\x04" + bytes(64), NOW, None, version)


@dataclass
class Feed:
    """A database's history: what each look shows."""

    looks: list[tuple[int, list[tuple[int, Device]]]]
    stored: list[Device] = field(default_factory=list)
    database: str = "a-1"
    asked: list[int] = field(default_factory=list)

    async def position(self) -> FeedPosition:
        return FeedPosition(self.database, 100)

    async def page(self, *, after: UUID | None, limit: int) -> Sequence[Device]:
        return [one for one in self.stored if after is None or one.device_id > after][:limit]

    async def changes(self, cursor: int, *, after: tuple[int, UUID] | None, limit: int) -> ChangesPage:
        if after is None:
            self.asked.append(cursor)
        now, changed = self.looks[min(len(self.asked) - 1, len(self.looks) - 1)]
        shown = [
            (number, one)
            for number, one in sorted(changed, key=lambda pair: (pair[0], pair[1].device_id))
            if number >= cursor and (after is None or (number, one.device_id) > after)
        ]
        return ChangesPage(FeedPosition(self.database, now), shown[:limit])


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def stream(feed: Feed, token: str = "") -> AsyncIterator[DeviceBatch]:
    watch = WatchDevices(clock=StillClock(), feed=feed, poll=timedelta(0), heartbeat=timedelta(seconds=10))
    return watch.stream(token)


async def take(batches: AsyncIterator[DeviceBatch], count: int) -> list[DeviceBatch]:
    async with asyncio.timeout(5):
        return [await anext(batches) for _ in range(count)]


async def test_a_change_seen_again_is_told_once_and_a_newer_version_again() -> None:
    feed = Feed(
        looks=[
            (100, []),
            (100, [(105, device(1))]),
            (100, [(105, device(1))]),
            (100, [(105, device(1)), (107, device(2))]),
            (108, [(105, device(1)), (107, device(2)), (103, device(3))]),
            (109, [(108, device(1, 2))]),
        ]
    )
    batches = await take(stream(feed), 6)
    assert [[(one.device_id.int, one.version) for one in batch.devices] for batch in batches] == [
        [], [], [(1, 1)], [(2, 1)], [(3, 1)], [(1, 2)],
    ]  # fmt: skip
    assert feed.asked == [100, 100, 100, 100, 100, 108]


async def test_a_history_that_changed_ends_the_stream() -> None:
    feed = Feed(looks=[(100, [])])
    batches = stream(feed)
    await take(batches, 2)
    feed.database = "a-2"
    assert [batch async for batch in batches] == []


async def test_a_full_last_page_is_followed_by_an_empty_one() -> None:
    feed = Feed(looks=[(100, [])], stored=[device(number) for number in range(1, BATCH + 1)])
    batches = await take(stream(feed), 3)
    assert [(len(batch.devices), batch.full_snapshot, batch.caught_up) for batch in batches] == [
        (BATCH, True, False), (0, False, False), (0, False, True),
    ]  # fmt: skip


@given(st.from_regex(r"[0-9A-Za-z-]{1,64}", fullmatch=True), st.integers(0, 2**63 - 1))
def test_a_token_reads_back(database: str, cursor: int) -> None:
    position = FeedPosition(database, cursor)
    assert read_resume_token(resume_token(position)) == position


@given(st.text(max_size=128))
def test_any_text_is_a_token_or_none(text: str) -> None:
    position = read_resume_token(text)
    assert position is None or resume_token(position).startswith("1.")
