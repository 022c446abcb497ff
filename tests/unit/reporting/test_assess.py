"""assess_day: what holds for all days, and the cases that people will ask about."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporting.adapters.policy_file import load_policies
from services.reporting.domain.assess import DayAssessment, assess_day, judge
from services.reporting.domain.facts import Flag, Slot, SlotResult, Tap, TimeGrade, Verdict
from services.reporting.domain.policy import ConditionalRule, DutyDay, Policy, SchoolCalendar, duty_day

POLICY = load_policies(None, zone="Asia/Makassar").newest
MONDAY = date(2026, 8, 3)
DUTY = duty_day(POLICY, SchoolCalendar("50200001", 5), MONDAY)
OVER = datetime(2026, 8, 20, tzinfo=UTC)

RANK = {
    SlotResult.MISSING: 0,
    SlotResult.PENDING: 1,
    SlotResult.LATE: 2,
    SlotResult.EARLY_LEAVE: 2,
    SlotResult.PRESENT: 3,
}


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"{MONDAY}T{clock}").replace(tzinfo=POLICY.zone).astimezone(UTC)


def tap(
    clock: str,
    slot: Slot = Slot.IN,
    *,
    flags: int = 0,
    grade: TimeGrade = TimeGrade.ANCHORED,
    name: str = "a",
) -> Tap:
    return Tap(name, slot, at(clock), grade, flags)


def assess(*taps: Tap, now: datetime = OVER, duty: DutyDay = DUTY) -> DayAssessment:
    return assess_day(duty, taps, now=now)


BEGIN = datetime(2026, 8, 2, 15, tzinfo=UTC)


def within(**span: int) -> st.SearchStrategy[datetime]:
    return st.timedeltas(timedelta(), timedelta(**span)).map(lambda passed: BEGIN + passed)


moments = within(hours=25)
taps_of_a_day = st.lists(
    st.builds(
        Tap,
        st.uuids().map(str),
        st.sampled_from([1, 2]),
        moments,
        st.sampled_from([1, 2, 3, 4]),
        st.sampled_from([0, 0, 1 << 1, 1 << Flag.LONG_DELAY, 1 << Flag.LATE_SYNC_EXPIRED]),
    ),
    max_size=8,
    unique_by=lambda tap: tap.tap_id,
)
nows = within(days=6)


@given(taps_of_a_day, nows, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(taps: list[Tap], now: datetime, random: object) -> None:
    again = [*taps, *taps]
    random.shuffle(again)  # type: ignore[attr-defined]
    assert assess_day(DUTY, again, now=now) == assess_day(DUTY, taps, now=now)


@given(taps_of_a_day, taps_of_a_day, nows)
def test_another_tap_never_worsens_a_slot(taps: list[Tap], more: list[Tap], now: datetime) -> None:
    before = assess_day(DUTY, taps, now=now)
    after = assess_day(DUTY, [*taps, *more], now=now)
    for one, two in zip(before.slots, after.slots, strict=True):
        assert RANK[two.result] >= RANK[one.result]
        if one.result == two.result:
            assert (two.minutes, two.minutes_class) <= (one.minutes, one.minutes_class)
    assert (before.status_code, after.status_code) != ("H", "A")


@given(taps_of_a_day, nows)
def test_a_day_is_never_unexcused_while_its_sources_are_incomplete(taps: list[Tap], now: datetime) -> None:
    assessed = assess_day(DUTY, taps, now=now)
    complete = all(now > window.complete_at for window in DUTY.windows)
    if assessed.status_code == "A":
        assert complete
    if not complete and assessed.status_code != "H":
        assert assessed.status_code == ""


@given(taps_of_a_day, nows, nows)
def test_time_alone_turns_nothing_but_pending(taps: list[Tap], now: datetime, later: datetime) -> None:
    now, later = sorted((now, later))
    before, after = assess_day(DUTY, taps, now=now), assess_day(DUTY, taps, now=later)
    for one, two in zip(before.slots, after.slots, strict=True):
        assert one == two or one.result == SlotResult.PENDING
    if before.due_at is None or later <= before.due_at:
        assert after == before


@given(taps_of_a_day, nows)
def test_the_clock_is_asked_again_exactly_until_time_decides_nothing(taps: list[Tap], now: datetime) -> None:
    rounds = 0
    assessed = assess_day(DUTY, taps, now=now)
    while assessed.due_at is not None:
        assert assessed.due_at >= now
        now = assessed.due_at + timedelta(microseconds=1)
        assessed = assess_day(DUTY, taps, now=now)
        rounds += 1
    assert rounds <= len(DUTY.windows)
    assert assess_day(DUTY, taps, now=now + timedelta(days=400)) == assessed


@given(st.lists(moments, min_size=1, max_size=6))
def test_the_first_check_in_and_the_last_check_out_count(at: list[datetime]) -> None:
    for slot, pick in ((Slot.IN, min), (Slot.OUT, max)):
        valid = [one for one in at if judge(DUTY, slot, one).verdict is not Verdict.OUTSIDE_WINDOW]
        assessed = assess(*(Tap(str(number), slot, one, 1, 0) for number, one in enumerate(at)))
        assert assessed.slots[slot - 1].official_time == (pick(valid) if valid else None)


def test_a_whole_day() -> None:
    assessed = assess(tap("06:58:03"), tap("15:31:10", Slot.OUT, name="b"))
    assert assessed.status_code == "H"
    assert [slot.result for slot in assessed.slots] == [SlotResult.PRESENT, SlotResult.PRESENT]
    assert assessed.due_at is None
    assert assessed.reason == "Masuk 06:58:03, tepat waktu; pulang 15:31:10, tepat waktu."


def test_late_and_early_say_how_much() -> None:
    assessed = assess(tap("07:45:00"), tap("15:00:00", Slot.OUT))
    assert [(slot.minutes, slot.minutes_class) for slot in assessed.slots] == [(45, 2), (30, 1)]
    assert assessed.reason == (
        "Masuk 07:45:00, terlambat 45 menit (TL 2); pulang 15:00:00, pulang 30 menit sebelum waktunya (PSW 1)."
    )


def test_present_is_told_before_the_day_is_over() -> None:
    assessed = assess(tap("06:58:00"), now=at("07:00:00"))
    assert assessed.status_code == "H"
    assert assessed.slots[1].result == SlotResult.PENDING
    assert assessed.due_at == at("23:00:00") + timedelta(hours=72)


def test_offline_phones_keep_a_day_pending_until_the_late_sync_hours_are_over() -> None:
    limit = at("12:00:00") + timedelta(hours=72)
    assert assess(now=limit).slots[0].result == SlotResult.PENDING
    assert assess(now=limit + timedelta(seconds=1)).slots[0].result == SlotResult.MISSING
    assert assess(now=limit + timedelta(seconds=1)).status_code == ""


def test_unexcused_only_when_both_slots_are_missing_for_good() -> None:
    assessed = assess()
    assert assessed.status_code == "A"
    assert [(slot.result, slot.minutes_class) for slot in assessed.slots] == [(SlotResult.MISSING, 4)] * 2
    assert assess(tap("06:50:00")).status_code == "H"
    assert assess(tap("06:50:00")).slots[1].minutes_class == 4


@pytest.mark.parametrize(
    "waiting",
    [
        tap("06:50:00", grade=TimeGrade.CLAIMED),
        tap("06:50:00", flags=1 << Flag.LONG_DELAY),
        tap("06:50:00", flags=1 << Flag.LATE_SYNC_EXPIRED),
        tap("06:50:00", flags=1 << Flag.DEVICE_REVOKED_SINCE),
    ],
)
def test_a_tap_that_needs_review_keeps_its_slot_pending_and_is_shown(waiting: Tap) -> None:
    assessed = assess(waiting)
    assert assessed.slots[0].result == SlotResult.PENDING
    assert assessed.slots[0].tap_id == waiting.tap_id
    assert assessed.status_code == ""
    assert assessed.due_at is None
    assert "menunggu tinjauan" in assessed.reason


def test_a_trusted_tap_counts_beside_one_that_waits_for_review() -> None:
    assessed = assess(tap("06:50:00", grade=TimeGrade.CLAIMED, name="b"), tap("07:10:00", name="a"))
    assert (assessed.slots[0].result, assessed.slots[0].tap_id) == (SlotResult.LATE, "a")


def test_a_conditional_policy_accepts_claims_but_not_what_came_too_late() -> None:
    policy = Policy(
        version=2,
        valid_from=POLICY.valid_from,
        zone=POLICY.zone,
        grace=POLICY.grace,
        classes=POLICY.classes,
        weeks=POLICY.weeks,
        late_sync=POLICY.late_sync,
        conditional={"50200001": ConditionalRule(accept_claimed=True, late_sync=timedelta(hours=100))},
    )
    duty = duty_day(policy, SchoolCalendar("50200001", 5), MONDAY)
    claimed = tap("06:50:00", grade=TimeGrade.CLAIMED, flags=1 << Flag.LONG_DELAY)
    expired = tap("06:50:00", grade=TimeGrade.CLAIMED, flags=1 << Flag.LATE_SYNC_EXPIRED)
    assert assess(claimed, duty=duty).slots[0].result == SlotResult.PRESENT
    assert assess(expired, duty=duty).slots[0].result == SlotResult.PENDING
    assert duty.windows[0].complete_at == at("12:00:00") + timedelta(hours=100)


def test_flags_are_no_proof_and_are_told() -> None:
    assessed = assess(tap("06:50:00", flags=1 << 2 | 1 << 4))
    assert assessed.slots[0].result == SlotResult.PRESENT
    assert assessed.slots[0].flags == 1 << 2 | 1 << 4
    assert assessed.slots[0].flagged


def test_a_flagged_tap_that_does_not_count_is_still_told() -> None:
    assessed = assess(tap("04:00:00", flags=1 << 5, name="b"), tap("06:50:00"))
    assert assessed.slots[0].flagged
    assert assessed.slots[0].flags == 0


def test_a_day_off_has_no_slots_and_no_code() -> None:
    sunday = duty_day(POLICY, SchoolCalendar("50200001", 6), date(2026, 8, 9))
    assessed = assess_day(sunday, [tap("06:50:00")], now=OVER)
    assert (assessed.status_code, assessed.slots, assessed.due_at) == ("", (), None)
