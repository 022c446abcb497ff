"""CloudEvents 1.0 over NATS headers (binary content mode), and an event as a consumer's handler sees it.

Owner: the chassis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import Message

CONTENT_TYPE: Final = "application/protobuf"
MSG_ID: Final = "Nats-Msg-Id"


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded event of the stream.

    Attributes:
        type: ce-type, as "hadir.events.v1.TapAccepted".
        msg_id: ce-id; the same for every delivery of the same event.
        subject: the subject it came on.
        source: ce-source, as "/hadir/5202/checkin".
        message: the protobuf body.
        stream_seq: its place in the stream; ascending, and new after a stream was made anew.
        time: ce-time, when it happened; UTC.
        deliveries: how often the server has sent it to this consumer, 1 the first time.
    """

    type: str
    msg_id: str
    subject: str
    source: str
    message: Message
    stream_seq: int
    time: datetime
    deliveries: int


def cloud_event_headers(
    *, msg_id: str, event_type: str, source: str, occurred_at: datetime
) -> dict[str, str]:
    """The headers of one event. `Nats-Msg-Id` equals `ce-id`, so the server drops what comes twice in its window."""
    return {
        MSG_ID: msg_id,
        "ce-specversion": "1.0",
        "ce-id": msg_id,
        "ce-type": event_type,
        "ce-source": source,
        "ce-time": occurred_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "content-type": CONTENT_TYPE,
    }


def event_time(headers: Mapping[str, str]) -> datetime:
    """ce-time as an aware UTC datetime.

    Raises:
        ValueError: it is missing or no RFC 3339 time with an offset.
    """
    time = datetime.fromisoformat(headers.get("ce-time", ""))
    if time.tzinfo is None:
        raise ValueError("ce-time has no offset")
    return time.astimezone(UTC)
