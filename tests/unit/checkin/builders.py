"""Values for checkin's unit tests: one ordinary tap of one ordinary morning, to be changed in one place at a time."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from services.checkin.adapters.policy_file import load_policy_book
from services.checkin.domain.anchor import AnchorKeys
from services.checkin.domain.tap import (
    AcceptedTap,
    Arrival,
    Evidence,
    Location,
    OfficialTime,
    School,
    Sending,
    Slot,
    TimeGrade,
)
from services.checkin.domain.tap_id import lowest_at

BOOK = load_policy_book(None)
POLICY = BOOK.policies[0]
ANCHOR_KEYS = AnchorKeys(7, {7: b"k" * 32, 3: b"o" * 32})
# A Monday, 07:00:00 in Asia/Makassar.
SEVEN = datetime(2027, 3, 14, 23, 0, tzinfo=UTC)
PERSON = UUID("0192f0a0-0000-7000-8000-00000000000a")
DEVICE = UUID("0192f0a0-0000-7000-8000-00000000000d")
SESSION = UUID("0192f0a0-0000-7000-8000-00000000000c")
SCHOOL = School("50203000", -8.71557, 116.249051, 75.0, 5)
AT_SCHOOL = Location(-8.71557, 116.249051, 10.0, None)


def tap_id_at(moment: datetime, serial: int = 0) -> UUID:
    """A UUIDv7 made at moment."""
    return UUID(int=lowest_at(moment).int | (0x7 << 76) | (0x2 << 62) | serial)


def evidence(**changes: object) -> Evidence:
    """An ordinary check-in at SEVEN, changed."""
    values: dict[str, object] = {
        "tap_id": tap_id_at(SEVEN),
        "person_id": PERSON,
        "slot": Slot.IN,
        "audience": "5202",
        "practice": False,
        "pressed_at": SEVEN,
        "clock": None,
        "location": AT_SCHOOL,
        "network": None,
        **changes,
    }
    return Evidence(**values)  # type: ignore[arg-type]  # the values above and a test's own


def accepted(
    *, official: datetime = SEVEN, grade: TimeGrade = TimeGrade.ARRIVAL, **changes: object
) -> AcceptedTap:
    """An accepted tap whose official time is given."""
    made = evidence(**changes)
    data = repr(made).encode()
    return AcceptedTap(
        evidence=made,
        evidence_bytes=data,
        evidence_sha256=sha256(data).digest(),
        signature=b"s" * 64,
        device_id=DEVICE,
        arrival=Arrival(official),
        official=OfficialTime(official, grade, ()),
        flags=(),
    )


ONLINE = Sending(timedelta(milliseconds=40), SEVEN + timedelta(milliseconds=40))
