"""What the database says about a run: every acknowledged tap once in checkin, in its outbox, and in reporting.

Owner: herd. Reads as a role that may see both schemas; no service may (each sees its own), and nothing here writes.
"""

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import asyncpg

T = TypeVar("T")

# Ids a statement takes: some 300 KB.
_IDS_AT_ONCE = 20_000
# While reporting is behind, a probe of the latest taps costs less than asking for all; it must not slow reporting down.
_PROBE = 200
_POLL = 0.02
# A poll may take a fifth of one connection's time.
_REST_FACTOR = 4.0

DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")
"""Settings of PostgreSQL that must all be `on`, or a run counts for nothing."""

# What others call by name here, in one place: checkin's and reporting's migrations, the outbox's message id.
_CHECKIN_RECEIPTS = """
SELECT tap_id, count(*) AS rows, (array_agg(receipt_content))[1] AS content
FROM checkin.taps WHERE tap_id = ANY($1::uuid[]) GROUP BY tap_id"""
_CHECKIN_EVENTS = """
SELECT msg_id, count(*) AS rows FROM checkin.outbox
WHERE event_type = 'hadir.events.v1.TapAccepted' AND msg_id = ANY($1::text[]) GROUP BY msg_id"""
_REPORTING_TAPS = """
SELECT tap_id, count(*) AS rows FROM reporting.taps WHERE tap_id = ANY($1::uuid[]) GROUP BY tap_id"""
_REPORTING_MISSING = """
SELECT id FROM unnest($1::uuid[]) AS wanted(id)
WHERE NOT EXISTS (SELECT FROM reporting.taps WHERE tap_id = id)"""
_UNKNOWN_PEOPLE = """
SELECT (SELECT count(*) FROM unnest($1::uuid[]) AS wanted(id)
        WHERE NOT EXISTS (SELECT FROM checkin.people WHERE person_id = id)
           OR NOT EXISTS (SELECT FROM reporting.people WHERE person_id = id AND version > 0))
     + (SELECT count(*) FROM unnest($2::uuid[]) AS wanted(id)
        WHERE NOT EXISTS (SELECT FROM checkin.devices WHERE device_id = id))"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What became of the acknowledged taps.

    Attributes:
        missing_in_checkin, missing_in_outbox, missing_in_reporting: taps without a row.
        doubled_in_checkin, doubled_in_outbox, doubled_in_reporting: taps with more than one.
        other_receipt: taps whose stored receipt is not the one the phone got.
        stored_unacknowledged: taps that are stored though their phone never saw a receipt.
    """

    missing_in_checkin: int
    missing_in_outbox: int
    missing_in_reporting: int
    doubled_in_checkin: int
    doubled_in_outbox: int
    doubled_in_reporting: int
    other_receipt: int
    stored_unacknowledged: int


class Ledger:
    """One read-only connection."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, database_url: str) -> "Ledger":
        """Connects.

        Raises:
            OSError, asyncpg.PostgresError: it cannot.
        """
        return cls(
            await asyncpg.connect(
                database_url,
                timeout=10,
                command_timeout=120,
                server_settings={"default_transaction_read_only": "on", "application_name": "hadir-herd"},
            )
        )

    async def close(self) -> None:
        """Disconnects."""
        await self._connection.close(timeout=5)

    async def durability(self) -> dict[str, str]:
        """The settings of `DURABILITY` as the server says them."""
        return {name: str(await self._connection.fetchval(f"SHOW {name}")) for name in DURABILITY}

    async def await_known(self, people: Sequence[str], devices: Sequence[str], limit: timedelta) -> int:
        """Waits until checkin and reporting know these people and checkin these devices, so that the enrolment's own
        events are no part of what is measured. Returns how many are still unknown when `limit` is over: 0 is well.
        """
        deadline = time.monotonic() + limit.total_seconds()
        while True:
            unknown = 0
            for persons, phones in zip(_parts(people), _parts(devices), strict=True):
                unknown += int(await self._connection.fetchval(_UNKNOWN_PEOPLE, persons, phones))
            if not unknown or time.monotonic() > deadline:
                return unknown
            await asyncio.sleep(0.25)

    async def await_reporting(self, tap_ids: Sequence[str], limit: timedelta) -> float | None:
        """Waits until reporting holds all of `tap_ids`.

        Args:
            tap_ids: in the order of their acknowledgement: the latest are probed first.
            limit: how long to wait.

        Returns:
            The monotonic time at which it was seen complete; None when it was not within `limit`.
        """
        deadline = time.monotonic() + limit.total_seconds()
        missing = [uuid.UUID(tap_id) for tap_id in tap_ids]
        while True:
            asked = time.monotonic()
            if not await self._not_in_reporting(missing[-_PROBE:]):
                missing = await self._not_in_reporting(missing)
            seen = time.monotonic()
            if not missing:
                return seen
            if seen > deadline:
                return None
            await asyncio.sleep(max(_POLL, _REST_FACTOR * (seen - asked)))

    async def check(self, receipts: Mapping[str, bytes], unacknowledged: Sequence[str]) -> Findings:
        """Compares all three places with what the phones hold.

        Args:
            receipts: the receipt's content by tap_id, of each acknowledged tap.
            unacknowledged: tap_ids without a receipt.
        """
        ids = list(receipts)
        stored = [
            row for part in _parts(ids) for row in await self._connection.fetch(_CHECKIN_RECEIPTS, part)
        ]
        names = [f"tap-{tap_id}" for tap_id in ids]
        events = [
            row for part in _parts(names) for row in await self._connection.fetch(_CHECKIN_EVENTS, part)
        ]
        read = [row for part in _parts(ids) for row in await self._connection.fetch(_REPORTING_TAPS, part)]
        strays = [
            row
            for part in _parts(unacknowledged)
            for row in await self._connection.fetch(_CHECKIN_RECEIPTS, part)
        ]
        return Findings(
            missing_in_checkin=len(ids) - len(stored),
            missing_in_outbox=len(ids) - len(events),
            missing_in_reporting=len(ids) - len(read),
            doubled_in_checkin=_doubled(stored),
            doubled_in_outbox=_doubled(events),
            doubled_in_reporting=_doubled(read),
            other_receipt=sum(bytes(row["content"]) != receipts[str(row["tap_id"])] for row in stored),
            stored_unacknowledged=len(strays),
        )

    async def _not_in_reporting(self, ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
        return [
            row["id"]
            for part in _parts(ids)
            for row in await self._connection.fetch(_REPORTING_MISSING, part)
        ]


def _doubled(rows: Iterable[asyncpg.Record]) -> int:
    return sum(row["rows"] > 1 for row in rows)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _IDS_AT_ONCE):
        yield items[start : start + _IDS_AT_ONCE]
