"""Rows of the outbox: written with the change they tell, claimed by a relay, kept for seven days, then purged.

Owner: the chassis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import identifier
from chassis.jetstream.stream import MAX_MESSAGE_BYTES

# What headers and subject may take of the stream's greatest message.
_ENVELOPE_BYTES: Final = 4 * 1024
MAX_PAYLOAD_BYTES: Final = MAX_MESSAGE_BYTES - _ENVELOPE_BYTES
MAX_TEXT_LENGTH: Final = 512


class EventTooLargeError(ValueError):
    """An event that the stream would refuse for ever; it is refused before it is written."""


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event to publish.

    Attributes:
        subject: from `chassis.jetstream.subject`.
        msg_id: unique for the event, and the same whenever the same event is made again (a UUID, or id:version).
        event_type: full protobuf name, as "hadir.events.v1.TapAccepted".
        source: CloudEvents source, as "/hadir/5202/checkin".
        payload: the serialized message, at most `MAX_PAYLOAD_BYTES`.
        occurred_at: when it happened; aware.
    """

    subject: str
    msg_id: str
    event_type: str
    source: str
    payload: bytes
    occurred_at: datetime

    def __post_init__(self) -> None:
        if len(self.payload) > MAX_PAYLOAD_BYTES:
            raise EventTooLargeError(
                f"{self.event_type}: {len(self.payload)} bytes, at most {MAX_PAYLOAD_BYTES}"
            )
        if self.occurred_at.tzinfo is None:
            raise ValueError("occurred_at must be aware")
        for part in (self.subject, self.msg_id, self.event_type, self.source):
            if (
                not 0 < len(part) <= MAX_TEXT_LENGTH
                or not part.isprintable()
                or " " in part
                or not part.isascii()
            ):
                raise ValueError(
                    f"{self.event_type}: a header must be 1-{MAX_TEXT_LENGTH} printable ASCII characters"
                )


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that a relay's transaction holds."""

    id: int
    subject: str
    msg_id: str
    event_type: str
    source: str
    payload: bytes
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: rows unsent (counted up to a limit) and the age of the oldest in seconds, 0 when none."""

    unsent: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class _Statements:
    insert: TextClause
    claim: TextClause
    mark: TextClause
    backlog: TextClause
    purge: TextClause


@lru_cache(maxsize=16)
def _statements(schema: str) -> _Statements:
    table = f"{identifier(schema)}.outbox"
    return _Statements(
        insert=text(
            f"INSERT INTO {table} (subject, msg_id, event_type, source, occurred_at, payload)"  # noqa: S608 - identifier()
            " SELECT * FROM unnest(CAST(:subject AS text[]), CAST(:msg_id AS text[]), CAST(:event_type AS text[]),"
            " CAST(:source AS text[]), CAST(:occurred_at AS timestamptz[]), CAST(:payload AS bytea[]))"
        ),
        # Claimed and marked in one statement; the mark becomes true only when the relay commits, after the
        # acknowledgements. MATERIALIZED, because a join may run a plain subquery, and so its LIMIT, more than once.
        claim=text(
            f"WITH due AS MATERIALIZED (SELECT id FROM {table}"  # noqa: S608 - identifier()
            " WHERE sent_at IS NULL AND id <> ALL (CAST(:deferred AS bigint[]))"
            " ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED)"
            f" UPDATE {table} AS o SET sent_at = clock_timestamp() FROM due WHERE o.id = due.id"
            " RETURNING o.id, o.subject, o.msg_id, o.event_type, o.source, o.payload, o.occurred_at"
        ),
        mark=text(
            f"UPDATE {table} SET sent_at = clock_timestamp()"  # noqa: S608 - identifier()
            " WHERE id = ANY (CAST(:ids AS bigint[])) AND sent_at IS NULL"
        ),
        backlog=text(
            f"SELECT (SELECT count(*) FROM (SELECT FROM {table} WHERE sent_at IS NULL LIMIT :most) AS counted),"  # noqa: S608
            f" coalesce((SELECT extract(epoch FROM clock_timestamp() - created_at) FROM {table}"
            " WHERE sent_at IS NULL ORDER BY id LIMIT 1), 0)::float8"
        ),
        # The oldest ids, whatever they are: bounded also when nothing is old enough.
        purge=text(
            f"WITH oldest AS MATERIALIZED (SELECT id, sent_at FROM {table} ORDER BY id LIMIT :batch)"  # noqa: S608
            f" DELETE FROM {table} AS o USING oldest WHERE o.id = oldest.id"
            " AND oldest.sent_at < clock_timestamp() - CAST(:keep AS interval)"
        ),
    )


async def enqueue(connection: AsyncConnection, schema: str, events: Sequence[OutboxEvent]) -> None:
    """Write `events` in the caller's transaction, with one statement: they are published if, and only if, it commits.

    The caller wakes its relay (`OutboxRelay.notify`) after the commit.
    """
    if not events:
        return
    await connection.execute(
        _statements(schema).insert,
        {
            "subject": [event.subject for event in events],
            "msg_id": [event.msg_id for event in events],
            "event_type": [event.event_type for event in events],
            "source": [event.source for event in events],
            "occurred_at": [event.occurred_at for event in events],
            "payload": [event.payload for event in events],
        },
    )


async def claim(
    connection: AsyncConnection, schema: str, *, batch: int, deferred: Sequence[int]
) -> list[Claimed]:
    """Lock and mark up to `batch` unsent rows, oldest first, but for `deferred`; true once the caller commits."""
    result = await connection.execute(_statements(schema).claim, {"batch": batch, "deferred": list(deferred)})
    return sorted((Claimed(*row) for row in result), key=lambda row: row.id)


async def mark_sent(connection: AsyncConnection, schema: str, ids: Sequence[int]) -> None:
    """Mark rows as sent, after a batch of which only a part was acknowledged."""
    await connection.execute(_statements(schema).mark, {"ids": list(ids)})


async def backlog(connection: AsyncConnection, schema: str, *, most: int) -> Backlog:
    """What waits, counted up to `most` so that counting stays cheap after hours without NATS."""
    row = (await connection.execute(_statements(schema).backlog, {"most": most})).one()
    return Backlog(unsent=row[0], oldest_seconds=max(0.0, row[1]))


async def purge(connection: AsyncConnection, schema: str, *, keep: timedelta, batch: int) -> int:
    """Delete what was sent longer than `keep` ago among the `batch` oldest rows; how many."""
    result = await connection.execute(_statements(schema).purge, {"keep": keep, "batch": batch})
    return result.rowcount
