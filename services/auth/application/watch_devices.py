"""WatchDevices: every device, then each change, as long as somebody listens. Owner: auth.

Transactions do not commit in the order in which they began, so "what is newer than the last I saw" loses the ones that
were slower. The stream therefore goes by the oldest transaction still running (`DeviceFeed`): what such a one may yet
commit is asked for again, and what was told already is left out. docs/decisions/0040-device-feed-by-transaction.md
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.auth.application.ports import Clock, DeviceFeed, FeedPosition
from services.auth.domain.people import Device

BATCH = 500
"""Devices a message: some 100 kB, far below gRPC's 4 MiB, and a step after which the event loop serves others."""

_TOKEN = re.compile(r"1\.([0-9A-Za-z-]{1,64})\.([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class DeviceBatch:
    """One message of the stream.

    Attributes:
        devices: at most `BATCH`; apply only newer versions.
        caught_up: everything up to now has been told.
        resume_token: resume here once it is applied; empty inside a snapshot.
        full_snapshot: True on the first message when all devices follow.
    """

    devices: Sequence[Device]
    caught_up: bool = False
    resume_token: str = ""
    full_snapshot: bool = False


def resume_token(position: FeedPosition) -> str:
    """The token of a position."""
    return f"1.{position.database}.{position.cursor}"


def read_resume_token(token: str) -> FeedPosition | None:
    """The position that a token names, None when it is none of ours: that means a full snapshot, never an error."""
    found = _TOKEN.fullmatch(token)
    return FeedPosition(found[1], int(found[2])) if found else None


class WatchDevices:
    """The use case; one instance serves all streams.

    Args:
        clock: for the sign of life.
        feed: the devices.
        poll: time between two looks.
        heartbeat: longest silence.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        feed: DeviceFeed,
        poll: timedelta,
        heartbeat: timedelta,
    ) -> None:
        self._clock = clock
        self._feed = feed
        self._poll = poll.total_seconds()
        self._heartbeat = heartbeat.total_seconds()

    async def stream(self, token: str) -> AsyncIterator[DeviceBatch]:
        """Tell everything since a token, or everything; then each change, until the caller closes it.

        It ends when the database's history changes (a fail-over): the client's token then leads to a full
        snapshot. The feed's own errors pass through; the client comes back with its last token.
        """
        start = await self._feed.position()
        cursor = _resume_at(token, start)
        if cursor is None:
            async for batch in self._snapshot():
                yield batch
            cursor = start.cursor
        told: dict[UUID, int] = {}
        silent_since: float | None = None
        while True:
            look = _Look(self._feed, FeedPosition(start.database, cursor), told)
            async for batch in look.batches():
                yield batch
                silent_since = self._clock.monotonic()
            if look.end.database != start.database:
                return
            now = self._clock.monotonic()
            if silent_since is None or now - silent_since >= self._heartbeat:
                yield DeviceBatch((), caught_up=True, resume_token=resume_token(look.end))
                silent_since = now
            cursor, told = look.end.cursor, look.told
            await asyncio.sleep(self._poll)

    async def _snapshot(self) -> AsyncIterator[DeviceBatch]:
        after: UUID | None = None
        while True:
            devices = await self._feed.page(after=after, limit=BATCH)
            yield DeviceBatch(devices, full_snapshot=after is None)
            if len(devices) < BATCH:
                return
            after = devices[-1].device_id


class _Look:
    """One look at what changed since a position.

    Attributes:
        end: where the next look starts: the position of the first page, since later pages see later commits.
        told: versions told that the next look will be shown again.
    """

    def __init__(self, feed: DeviceFeed, begin: FeedPosition, told: dict[UUID, int]) -> None:
        self._feed = feed
        self._begin = begin
        self._told = told
        self.end = begin
        self.told: dict[UUID, int] = {}

    async def batches(self) -> AsyncIterator[DeviceBatch]:
        """What is new, page by page; nothing when nothing is."""
        after: tuple[int, UUID] | None = None
        while True:
            page = await self._feed.changes(self._begin.cursor, after=after, limit=BATCH)
            if after is None:
                self.end = page.position
                if self.end.database != self._begin.database:
                    return
            fresh = [
                device for _, device in page.changed if self._told.get(device.device_id) != device.version
            ]
            self.told |= {
                device.device_id: device.version
                for number, device in page.changed
                if number >= self.end.cursor
            }
            last = len(page.changed) < BATCH
            if fresh:
                at = self.end if last else self._begin
                yield DeviceBatch(fresh, caught_up=last, resume_token=resume_token(at))
            if last:
                return
            number, device = page.changed[-1]
            after = number, device.device_id


def _resume_at(token: str, now: FeedPosition) -> int | None:
    """The cursor to resume at; None when the token is unknown, another database's, or ahead of this one."""
    asked = read_resume_token(token)
    if asked is None or asked.database != now.database or asked.cursor > now.cursor:
        return None
    return asked.cursor
