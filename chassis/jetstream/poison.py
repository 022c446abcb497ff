"""Messages that cannot be applied, set aside in `<schema>.poison` with everything needed to look at and replay them.

Owner: the chassis. The table is made by `chassis.migrations.create_poison`. No log line and no metric holds a body.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from nats.aio.msg import Msg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import identifier, sqlstate
from chassis.jetstream.events import MSG_ID

_LONGEST_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Poison:
    """A message to set aside: why ("undecodable", "refused") and the error, without data of its row."""

    message: Msg
    reason: str
    error: str
    tries: int


async def set_aside(connection: AsyncConnection, schema: str, consumer: str, found: Sequence[Poison]) -> None:
    """Write the messages down; the same message of the same consumer once, however often it comes."""
    await connection.execute(
        text(
            f"INSERT INTO {identifier(schema)}.poison"  # noqa: S608 - identifier()
            " (consumer, msg_id, event_type, subject, stream_seq, reason, error,"
            " headers, payload, tries) SELECT :consumer, * FROM unnest(CAST(:msg_id AS text[]),"
            " CAST(:event_type AS text[]), CAST(:subject AS text[]), CAST(:stream_seq AS bigint[]),"
            " CAST(:reason AS text[]), CAST(:error AS text[]), CAST(:headers AS jsonb[]), CAST(:payload AS bytea[]),"
            " CAST(:tries AS integer[])) ON CONFLICT (consumer, msg_id) DO NOTHING"
        ),
        {
            "consumer": consumer,
            "msg_id": [message_id(one.message) for one in found],
            "event_type": [_clean((one.message.headers or {}).get("ce-type", "")) for one in found],
            "subject": [_clean(one.message.subject) for one in found],
            "stream_seq": [one.message.metadata.sequence.stream for one in found],
            "reason": [one.reason for one in found],
            "error": [_clean(one.error) for one in found],
            "headers": [
                json.dumps(
                    {_clean(name): _clean(value) for name, value in (one.message.headers or {}).items()}
                )
                for one in found
            ],
            "payload": [one.message.data for one in found],
            "tries": [one.tries for one in found],
        },
    )


async def purge_poison(connection: AsyncConnection, schema: str, *, keep: timedelta, batch: int) -> int:
    """Delete at most `batch` messages that were set aside longer than `keep` ago; how many."""
    result = await connection.execute(
        text(
            f"DELETE FROM {identifier(schema)}.poison WHERE id IN (SELECT id FROM {identifier(schema)}.poison"  # noqa: S608
            " WHERE created_at < clock_timestamp() - CAST(:keep AS interval) ORDER BY id LIMIT :batch)"
        ),
        {"keep": keep, "batch": batch},
    )
    return result.rowcount


def message_id(message: Msg) -> str:
    """The event's id, or its place in the stream when it has none."""
    headers = message.headers or {}
    metadata = message.metadata
    given = headers.get("ce-id") or headers.get(MSG_ID)
    # A stream made anew counts from one again, so the time belongs to the place.
    return _clean(given) if given else f"seq:{metadata.sequence.stream}@{metadata.timestamp.isoformat()}"


def describe(error: BaseException) -> str:
    """What went wrong, without the values: PostgreSQL's own messages quote the row, which is personal data."""
    code = sqlstate(error)
    kind = type(error).__name__
    cause = error.__cause__
    constraint = getattr(cause.__cause__ if cause is not None else None, "constraint_name", None)
    return " ".join(part for part in (kind, code, constraint or "") if part)


def _clean(value: str) -> str:
    """PostgreSQL's text and jsonb take no NUL, and a poison that cannot be written down would block the rest."""
    return value.replace("\x00", "\ufffd")[:_LONGEST_TEXT]
