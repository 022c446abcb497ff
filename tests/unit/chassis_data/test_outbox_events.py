"""What may go into the outbox, and how it looks as a CloudEvent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.jetstream import cloud_event_headers, subject
from chassis.jetstream.events import event_time
from chassis.jetstream.stream import MAX_MESSAGE_BYTES, stream_config
from chassis.outbox import EventTooLargeError, OutboxEvent
from chassis.outbox.store import MAX_PAYLOAD_BYTES, MAX_TEXT_LENGTH

EVENT = OutboxEvent(
    subject="hadir.v1.5202.checkin.tap_accepted",
    msg_id="0198",
    event_type="hadir.events.v1.TapAccepted",
    source="/hadir/5202/checkin",
    payload=b"",
    occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
)


def test_a_subject_has_five_tokens_whatever_it_is_made_of() -> None:
    assert subject("5202", "checkin", "tap_accepted") == "hadir.v1.5202.checkin.tap_accepted"
    assert subject("*", "auth", "*") == "hadir.v1.*.auth.*"


@pytest.mark.parametrize(
    "parts",
    [
        ("52.02", "checkin", "tap_accepted"),
        ("520", "checkin", "tap_accepted"),
        ("5202", "check.in", "tap_accepted"),
        ("5202", "checkin", "TapAccepted"),
        ("5202", "checkin", ">"),
        ("5202", "", "tap_accepted"),
        ("٥٢٠٢", "checkin", "tap_accepted"),
        ("5202\n", "checkin", "tap_accepted"),
    ],
)
def test_another_form_of_subject_is_refused(parts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"digits|snake case"):
        subject(*parts)


def test_what_the_stream_would_refuse_for_ever_is_refused_before_it_is_written() -> None:
    replace(EVENT, payload=bytes(MAX_PAYLOAD_BYTES), msg_id="x" * MAX_TEXT_LENGTH)
    with pytest.raises(EventTooLargeError):
        replace(EVENT, payload=bytes(MAX_PAYLOAD_BYTES + 1))
    with pytest.raises(ValueError, match="aware"):
        replace(EVENT, occurred_at=datetime(2026, 7, 1))  # noqa: DTZ001 - naive on purpose
    for bad in ("", "two words", "line\nbreak", "x" * (MAX_TEXT_LENGTH + 1), "é", "nul\x00"):
        for part in ("subject", "msg_id", "event_type", "source"):
            changed: dict[str, Any] = {part: bad}
            with pytest.raises(ValueError, match="printable ASCII"):
                replace(EVENT, **changed)


def test_the_largest_event_fits_the_stream_with_its_headers() -> None:
    longest = "x" * MAX_TEXT_LENGTH
    headers = cloud_event_headers(
        msg_id=longest, event_type=longest, source=longest, occurred_at=EVENT.occurred_at
    )
    batch = {"Nats-Expected-Stream": "HADIR", "Nats-Batch-Id": "x" * 64, "Nats-Batch-Sequence": "500"}
    size = sum(len(name) + len(value) + 4 for name, value in {**headers, **batch}.items()) + 64
    assert MAX_PAYLOAD_BYTES + size + MAX_TEXT_LENGTH < MAX_MESSAGE_BYTES
    assert stream_config().max_msg_size == MAX_MESSAGE_BYTES


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 - zone below
    st.integers(min_value=-720, max_value=840),
)
def test_the_time_of_an_event_survives_its_header(naive: datetime, minutes: int) -> None:
    time = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    headers = cloud_event_headers(msg_id="1", event_type="t", source="s", occurred_at=time)
    assert headers["ce-time"].endswith("Z")
    assert event_time(headers) == time
    assert headers["Nats-Msg-Id"] == headers["ce-id"]


@pytest.mark.parametrize("value", [None, "", "yesterday", "2026-07-01T07:00:00", "2026-07-01"])
def test_a_time_that_is_none_is_refused(value: str | None) -> None:
    with pytest.raises(ValueError, match=r".*"):
        event_time({} if value is None else {"ce-time": value})
