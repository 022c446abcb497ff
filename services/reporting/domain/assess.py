"""What becomes of a person's day: pure rules, run again on every event that touches the day. Owned by reporting.

Sources of the rules: domain rules, "Lateness and early leave" and "Day status and codes". The first valid
check-in and the last valid check-out count, so another tap can only better a day, never worsen it, and the order
in which taps become known does not matter. How one tap is judged is held equal to checkin's provisional verdict
by tests/vectors/day_verdicts.json; docs/decisions/0045-when-a-day-is-decided.md says when a day is decided and
what a tap that needs review means for it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from services.reporting.domain.facts import Flag, Slot, SlotResult, Tap, TimeGrade, Verdict
from services.reporting.domain.policy import DutyDay, DutyWindow

PRESENT_CODE = "H"
"""Hadir: at least one slot has a tap that counts."""

UNEXCUSED_CODE = "A"
"""Tanpa keterangan: no slot has one, and no source can bring one any more."""

_MINUTE = timedelta(minutes=1)
_UNTRUSTED = 1 << Flag.LATE_SYNC_EXPIRED | 1 << Flag.DEVICE_REVOKED_SINCE
_DELAYED = 1 << Flag.LONG_DELAY
_SLOT_NAME = {Slot.IN: "masuk", Slot.OUT: "pulang"}
_RESULT = {
    Verdict.ON_TIME: SlotResult.PRESENT,
    Verdict.LATE: SlotResult.LATE,
    Verdict.EARLY_LEAVE: SlotResult.EARLY_LEAVE,
}


class TapVerdict(NamedTuple):
    """Judgement of one tap; minutes and class are 0 unless it is late or early."""

    verdict: Verdict
    minutes: int = 0
    minutes_class: int = 0


class SlotAssessment(NamedTuple):
    """What became of one slot.

    `tap_id` and `official_time` are of the tap that counts, or, in a pending slot, of the one that waits for
    review; `flags` are that tap's. `flagged` says whether any tap of the slot carries a flag.
    """

    slot: Slot
    result: SlotResult
    tap_id: str | None
    official_time: datetime | None
    minutes: int
    minutes_class: int
    flags: int
    flagged: bool


class DayAssessment(NamedTuple):
    """What became of a day.

    `status_code` is empty while the day is undecided or has no duty; `reason` is Bahasa Indonesia; `due_at` is
    the next moment at which time alone changes the outcome, None when only a new fact can.
    """

    status_code: str
    slots: tuple[SlotAssessment, ...]
    policy_version: int
    reason: str
    due_at: datetime | None


def judge(duty: DutyDay, slot: int, official_time: datetime) -> TapVerdict:
    """Judges one tap by its official time (aware, UTC), cut to the second that a clock shows."""
    if not duty.windows:
        return TapVerdict(Verdict.NOT_A_WORKING_DAY)
    for window in duty.windows:
        if window.slot == slot:
            return _judge_in(duty, window, official_time.replace(microsecond=0))
    return TapVerdict(Verdict.OUTSIDE_WINDOW)


def _judge_in(duty: DutyDay, window: DutyWindow, shown: datetime) -> TapVerdict:
    if not window.opens <= shown <= window.closes:
        return TapVerdict(Verdict.OUTSIDE_WINDOW)
    if window.slot == Slot.IN:
        beyond, verdict = shown - window.on_time_until - duty.policy.grace, Verdict.LATE
    else:
        beyond, verdict = window.on_time_until - shown, Verdict.EARLY_LEAVE
    if beyond <= timedelta():
        return TapVerdict(Verdict.ON_TIME)
    # A begun minute counts as a whole one: floor division of the negative rounds up.
    minutes = -(-beyond // _MINUTE)
    return TapVerdict(verdict, minutes, duty.policy.class_of(minutes))


def needs_review(tap: Tap, *, accept_claimed: bool) -> bool:
    """Whether a person must look at the tap before it may count.

    A bare claim of the phone, and an official time long before arrival (a modified phone can lie about both),
    unless a conditional policy accepts them from this school; in every case what was synced after the late-sync
    hours or by a device revoked since.
    """
    if tap.flags & _UNTRUSTED:
        return True
    return not accept_claimed and bool(tap.time_grade == TimeGrade.CLAIMED or tap.flags & _DELAYED)


def assess_day(duty: DutyDay, taps: Iterable[Tap], *, now: datetime) -> DayAssessment:
    """Assesses one person-day from all its taps (no practice taps), as known at `now` (aware, UTC).

    Pure: the same facts give the same result in whatever order and however often they come.
    """
    version = duty.policy.version
    if not duty.windows:
        return DayAssessment("", (), version, "Bukan hari kerja.", None)
    by_slot: dict[int, list[Tap]] = {}
    for tap in taps:
        by_slot.setdefault(tap.slot, []).append(tap)
    slots = tuple(_assess_slot(duty, window, by_slot.get(window.slot, ()), now) for window in duty.windows)
    results = {slot.result for slot in slots}
    if results & _COUNTED:
        code = PRESENT_CODE
    elif SlotResult.PENDING in results:
        code = ""
    else:
        code = UNEXCUSED_CODE
    due_at = min(
        (
            window.complete_at
            for window, slot in zip(duty.windows, slots, strict=True)
            if slot.result == SlotResult.PENDING and now <= window.complete_at
        ),
        default=None,
    )
    return DayAssessment(code, slots, version, _reason(duty, slots), due_at)


_COUNTED = frozenset({SlotResult.PRESENT, SlotResult.LATE, SlotResult.EARLY_LEAVE})


def _assess_slot(duty: DutyDay, window: DutyWindow, taps: Iterable[Tap], now: datetime) -> SlotAssessment:
    counting: Tap | None = None
    reviewed: Tap | None = None
    flagged = False
    for tap in taps:
        if tap.flags:
            flagged = True
        if not window.opens <= tap.official_time.replace(microsecond=0) <= window.closes:
            continue
        if needs_review(tap, accept_claimed=duty.accept_claimed):
            reviewed = _better(window.slot, reviewed, tap)
        else:
            counting = _better(window.slot, counting, tap)
    if counting is not None:
        judged = judge(duty, window.slot, counting.official_time)
        result, minutes, minutes_class = _RESULT[judged.verdict], judged.minutes, judged.minutes_class
    elif reviewed is not None or now <= window.complete_at:
        result, minutes, minutes_class = SlotResult.PENDING, 0, 0
    else:
        result, minutes, minutes_class = SlotResult.MISSING, 0, duty.policy.worst_class
    shown = counting or reviewed
    if shown is None:
        return SlotAssessment(window.slot, result, None, None, minutes, minutes_class, 0, flagged)
    return SlotAssessment(
        window.slot, result, shown.tap_id, shown.official_time, minutes, minutes_class, shown.flags, flagged
    )


def _better(slot: Slot, best: Tap | None, tap: Tap) -> Tap:
    """The earlier check-in, the later check-out; of two at one moment the smaller id, whatever came first."""
    if best is None:
        return tap
    if tap.official_time == best.official_time:
        return tap if tap.tap_id < best.tap_id else best
    return tap if (tap.official_time < best.official_time) == (slot == Slot.IN) else best


def _reason(duty: DutyDay, slots: tuple[SlotAssessment, ...]) -> str:
    told = "; ".join(_told(duty, slot, window) for slot, window in zip(slots, duty.windows, strict=True))
    return f"{told[0].upper()}{told[1:]}."


def _told(duty: DutyDay, slot: SlotAssessment, window: DutyWindow) -> str:
    name = _SLOT_NAME[slot.slot]
    zone = duty.policy.zone
    if slot.official_time is None:
        if slot.result == SlotResult.PENDING:
            return f"{name} belum ada, ditunggu sampai {window.complete_at.astimezone(zone):%Y-%m-%d %H:%M}"
        return (
            f"{name} tidak ada sampai batas pengiriman {window.complete_at.astimezone(zone):%Y-%m-%d %H:%M}"
        )
    at = slot.official_time.astimezone(zone).strftime("%H:%M:%S")
    match slot.result:
        case SlotResult.LATE:
            return f"{name} {at}, terlambat {slot.minutes} menit (TL {slot.minutes_class})"
        case SlotResult.EARLY_LEAVE:
            return f"{name} {at}, pulang {slot.minutes} menit sebelum waktunya (PSW {slot.minutes_class})"
        case SlotResult.PENDING:
            return f"{name} {at}, menunggu tinjauan"
        case _:
            return f"{name} {at}, tepat waktu"
