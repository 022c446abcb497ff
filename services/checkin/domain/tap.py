"""A tap as checkin understands it: the decoded evidence, the facts of its arrival, and what was made of it.

Numbers of the enumerations are those of hadir.checkin.v1, so that a stored number means the same for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from uuid import UUID

from services.checkin.domain.errors import CheckinError


class Slot(IntEnum):
    """Which of the two daily registrations a tap is for."""

    IN = 1
    OUT = 2


class TimeGrade(IntEnum):
    """How the official time was established, best first (design, "Fair time")."""

    ANCHORED = 1
    BRACKETED = 2
    ARRIVAL = 3
    CLAIMED = 4


class Verdict(IntEnum):
    """checkin's provisional judgement; reporting's assessment is final."""

    ON_TIME = 1
    LATE = 2
    EARLY_LEAVE = 3
    OUTSIDE_WINDOW = 4
    NOT_A_WORKING_DAY = 5


class Flag(IntEnum):
    """What a person should look at; never a refusal and never proof by itself (domain rules, "Fraud")."""

    OUTSIDE_FENCE = 1
    MOCK_LOCATION = 2
    POOR_ACCURACY = 3
    NO_LOCATION = 4
    OUTSIDE_WINDOW = 5
    NOT_A_WORKING_DAY = 6
    TAP_ID_FROM_FUTURE = 7
    TAP_ID_TIME_WILD = 8
    CLOCKS_DISAGREE = 9
    ANCHOR_FORGED = 10
    ANCHOR_TOO_OLD = 11
    ANCHOR_AFTER_ARRIVAL = 12
    LONG_DELAY = 13
    LATE_SYNC = 14
    LATE_SYNC_EXPIRED = 15
    DEVICE_REVOKED_SINCE = 16
    PERSON_UNKNOWN = 17
    ARRIVAL_HEADER_IGNORED = 18
    CLAIM_AFTER_ARRIVAL = 19


@dataclass(frozen=True, slots=True)
class Location:
    """A position fix: WGS 84 degrees, accuracy in metres; mock is None where the platform cannot know."""

    latitude: float
    longitude: float
    accuracy_m: float
    mock: bool | None


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The phone's link to the server's clock: an opaque anchor and what the phone's clocks said since."""

    anchor: bytes
    clock_session_id: UUID
    elapsed: timedelta | None
    wall_at_anchor: datetime | None


@dataclass(frozen=True, slots=True)
class Network:
    """Connection at the press: hadir.checkin.v1.NetworkType's number and strength in dBm."""

    type: int
    strength_dbm: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the phone signed, decoded. Times are UTC claims of the phone."""

    tap_id: UUID
    person_id: UUID
    slot: Slot
    audience: str
    practice: bool
    pressed_at: datetime
    clock: ClockReading | None
    location: Location | None
    network: Network | None


@dataclass(frozen=True, slots=True)
class Sending:
    """Facts of one try: how long the tap waited on the phone, and the phone's wall clock when it was sent."""

    queued: timedelta
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the tap first came (UTC), and whether the caller tried to set that time itself."""

    at: datetime
    header_ignored: bool = False


@dataclass(frozen=True, slots=True)
class OfficialTime:
    """The time that counts, how it was found, and what was odd on the way."""

    at: datetime
    grade: TimeGrade
    flags: tuple[Flag, ...]


@dataclass(frozen=True, slots=True)
class School:
    """The school facts a tap is judged by: fence in degrees and metres, and working days a week (5 or 6)."""

    npsn: str
    latitude: float
    longitude: float
    radius_m: float
    week_days: int


@dataclass(frozen=True, slots=True)
class AcceptedTap:
    """An authentic tap with its official time, ready to be judged against its school and stored.

    refusal is set when the tap may not be stored any more (device revoked, certificate expired): then it is only looked
    up, since a tap that was acknowledged keeps its receipt for ever.

    evidence_bytes and signature are kept as received: they are the proof in a dispute.
    """

    evidence: Evidence
    evidence_bytes: bytes
    evidence_sha256: bytes
    signature: bytes
    device_id: UUID
    arrival: Arrival
    official: OfficialTime
    flags: tuple[Flag, ...]
    refusal: CheckinError | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The provisional verdict on a tap: minutes late or early, their class 1-4 (0: neither), all flags, sorted."""

    work_date: date
    verdict: Verdict
    minutes: int
    minutes_class: int
    flags: Sequence[Flag]
    policy_version: int
