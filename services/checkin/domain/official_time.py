"""Fair time: which moment counts for a tap (design, "Fair time, by grade, the first that applies").

A queue, a refusal or a slow network must never make anybody late; a wrong or moved phone clock must never make anybody
early. So the server's clock counts wherever the phone can tie the press to it, and the arrival elsewhere.
"""

from datetime import datetime, timedelta
from uuid import UUID

from services.checkin.domain import anchor
from services.checkin.domain.policy import Policy
from services.checkin.domain.tap import (
    Arrival,
    ClockReading,
    Evidence,
    Flag,
    OfficialTime,
    Sending,
    TimeGrade,
)
from services.checkin.domain.tap_id import time_of

# The phone's wall-clock offset at sending must equal that at its anchor within this to bridge the gap (design: 2 s).
BRACKET_TOLERANCE = timedelta(seconds=2)


def _bracketed(
    evidence: Evidence,
    reading: ClockReading,
    anchored_at: datetime,
    arrival: datetime,
    sent_at: datetime | None,
    policy: Policy,
) -> datetime | None:
    """The claim corrected by the wall clock's offset, if that offset is the same now as at the anchor.

    The anchor may be older than one that runs by as long as a tap may wait for its sync: an offset that held so long
    was not moved in between.
    """
    if reading.wall_at_anchor is None or sent_at is None:
        return None
    if arrival - anchored_at > policy.anchor_max_age + policy.late_sync:
        return None
    offset_then = reading.wall_at_anchor - anchored_at
    offset_now = sent_at - arrival
    if abs(offset_now - offset_then) > BRACKET_TOLERANCE:
        return None
    try:
        corrected = evidence.pressed_at - offset_then
    except OverflowError:
        return None
    return min(max(corrected, anchored_at), arrival)


def official_time(
    evidence: Evidence,
    sending: Sending,
    arrival: Arrival,
    device_id: UUID,
    policy: Policy,
    keys: anchor.AnchorKeys,
) -> OfficialTime:
    """The moment that counts for this tap.

    ANCHORED lies between the anchor and the arrival; BRACKETED likewise; ARRIVAL is the first arrival; CLAIMED is the
    earlier of claim and arrival and needs review. Never later than the arrival, so a slow network is never a lateness.
    An anchor past its greatest age runs no more, but its wall-clock offset may still bracket the press. An anchor that
    lies after the arrival says that clocks are skewed: then only the arrival can be believed.
    """
    at = arrival.at
    flags: tuple[Flag, ...] = ()
    reading = evidence.clock
    if reading is not None:
        anchored_at = anchor.verify(keys, reading.anchor, device_id, reading.clock_session_id)
        if anchored_at is None:
            flags = (Flag.ANCHOR_FORGED,)
        elif anchored_at > at:
            return OfficialTime(at, TimeGrade.ARRIVAL, (Flag.ANCHOR_AFTER_ARRIVAL,))
        elif reading.elapsed is not None and reading.elapsed <= policy.anchor_max_age:
            return OfficialTime(min(anchored_at + reading.elapsed, at), TimeGrade.ANCHORED, flags)
        else:
            bracketed = _bracketed(evidence, reading, anchored_at, at, sending.sent_at, policy)
            if bracketed is not None:
                return OfficialTime(bracketed, TimeGrade.BRACKETED, flags)
            if at - anchored_at > policy.anchor_max_age:
                flags = (Flag.ANCHOR_TOO_OLD,)
    if sending.queued <= policy.online_queue_limit:
        return OfficialTime(at, TimeGrade.ARRIVAL, flags)
    return OfficialTime(min(evidence.pressed_at, at), TimeGrade.CLAIMED, flags)


def time_flags(
    evidence: Evidence, sending: Sending, arrival: Arrival, official: OfficialTime, policy: Policy
) -> tuple[Flag, ...]:
    """What is odd about a tap's times; each is for review, none a refusal."""
    found: list[Flag] = list(official.flags)
    if arrival.header_ignored:
        found.append(Flag.ARRIVAL_HEADER_IGNORED)
    made = time_of(evidence.tap_id)
    if made is not None and made - arrival.at > policy.tap_id_tolerance:
        found.append(Flag.TAP_ID_FROM_FUTURE)
    if made is None or abs(made - official.at) > policy.tap_id_tolerance:
        found.append(Flag.TAP_ID_TIME_WILD)
    # A phone whose clock is ahead, tied to the server's by an anchor, claims nothing odd.
    claimed = official.grade in (TimeGrade.ARRIVAL, TimeGrade.CLAIMED)
    if claimed and evidence.pressed_at - arrival.at > policy.clock_disagreement:
        found.append(Flag.CLAIM_AFTER_ARRIVAL)
    if _clocks_disagree(evidence, sending, policy):
        found.append(Flag.CLOCKS_DISAGREE)
    delay = arrival.at - official.at
    if delay > policy.review_delay:
        found.append(Flag.LONG_DELAY)
    if sending.queued > policy.online_queue_limit:
        found.append(Flag.LATE_SYNC)
    if delay > policy.late_sync:
        found.append(Flag.LATE_SYNC_EXPIRED)
    return tuple(found)


def _clocks_disagree(evidence: Evidence, sending: Sending, policy: Policy) -> bool:
    """True when the phone's wall clock and its monotonic clock tell different stories."""
    reading = evidence.clock
    if reading is not None and reading.elapsed is not None and reading.wall_at_anchor is not None:
        wall = evidence.pressed_at - reading.wall_at_anchor
        if abs(wall - reading.elapsed) > policy.clock_disagreement:
            return True
    if sending.sent_at is not None:
        wall = sending.sent_at - evidence.pressed_at
        return abs(wall - sending.queued) > policy.clock_disagreement
    return False
