"""Fair time: a slow network makes nobody late, a moved phone clock makes nobody early."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.checkin.domain import anchor
from services.checkin.domain.official_time import official_time, time_flags
from services.checkin.domain.tap import (
    Arrival,
    ClockReading,
    Evidence,
    Flag,
    OfficialTime,
    Sending,
    TimeGrade,
)
from tests.unit.checkin.builders import ANCHOR_KEYS, DEVICE, ONLINE, PERSON, POLICY, SESSION, SEVEN, evidence

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def reading(
    *, at: timedelta = -HOUR, elapsed: timedelta | None = HOUR, wall: timedelta | None = None
) -> ClockReading:
    """A reading with an anchor made `at` from SEVEN; wall is the phone's wall clock at it, from SEVEN."""
    made = anchor.issue(ANCHOR_KEYS, SEVEN + at, DEVICE, SESSION)
    return ClockReading(made, SESSION, elapsed, None if wall is None else SEVEN + wall)


def judge_time(tap: Evidence, sending: Sending, arrival: timedelta) -> tuple[OfficialTime, set[Flag]]:
    came = Arrival(SEVEN + arrival)
    official = official_time(tap, sending, came, DEVICE, POLICY, ANCHOR_KEYS)
    return official, set(time_flags(tap, sending, came, official, POLICY))


def test_an_anchor_gives_the_press_and_a_late_arrival_costs_nothing() -> None:
    official, flags = judge_time(evidence(clock=reading()), ONLINE, timedelta(seconds=9))
    assert (official.at, official.grade) == (SEVEN, TimeGrade.ANCHORED)
    assert not flags


def test_an_anchored_press_is_never_after_arrival() -> None:
    official, _ = judge_time(evidence(clock=reading(elapsed=2 * HOUR)), ONLINE, timedelta(0))
    assert official.at == SEVEN


def test_a_reloaded_page_is_bracketed_by_its_wall_clock() -> None:
    ahead = timedelta(minutes=5)
    tap = evidence(clock=reading(elapsed=None, wall=-HOUR + ahead), pressed_at=SEVEN + ahead)
    sending = Sending(20 * SECOND, SEVEN + ahead + 20 * SECOND)
    official, flags = judge_time(tap, sending, 20 * SECOND)
    assert (official.at, official.grade) == (SEVEN, TimeGrade.BRACKETED)
    assert not flags


def test_a_wall_clock_moved_since_the_anchor_brackets_nothing() -> None:
    tap = evidence(clock=reading(elapsed=None, wall=-HOUR), pressed_at=SEVEN - 10 * timedelta(minutes=1))
    sending = Sending(SECOND, SEVEN - 10 * timedelta(minutes=1) + SECOND)
    official, _ = judge_time(tap, sending, SECOND)
    assert (official.at, official.grade) == (SEVEN + SECOND, TimeGrade.ARRIVAL)


def test_without_an_anchor_the_first_arrival_counts() -> None:
    official, _ = judge_time(evidence(), ONLINE, 3 * SECOND)
    assert (official.at, official.grade) == (SEVEN + 3 * SECOND, TimeGrade.ARRIVAL)


def test_a_late_sync_without_an_anchor_is_a_claim_and_flagged() -> None:
    sending = Sending(5 * HOUR, SEVEN + 5 * HOUR)
    official, flags = judge_time(evidence(), sending, 5 * HOUR)
    assert (official.at, official.grade) == (SEVEN, TimeGrade.CLAIMED)
    assert flags == {Flag.LATE_SYNC, Flag.LONG_DELAY}


def test_a_claim_from_the_future_counts_as_its_arrival() -> None:
    tap = evidence(pressed_at=SEVEN + 9 * HOUR)
    official, flags = judge_time(tap, Sending(5 * HOUR, SEVEN + 14 * HOUR), 5 * HOUR)
    assert official.at == SEVEN + 5 * HOUR
    assert Flag.CLAIM_AFTER_ARRIVAL in flags


@pytest.mark.parametrize(
    ("changed", "flag"),
    [
        (ClockReading(b"x" * anchor.LENGTH, SESSION, HOUR, None), Flag.ANCHOR_FORGED),
        (ClockReading(b"short", SESSION, HOUR, None), Flag.ANCHOR_FORGED),
        (ClockReading(reading().anchor, PERSON, HOUR, None), Flag.ANCHOR_FORGED),
        (ClockReading(reading().anchor[:-1] + b"\0", SESSION, HOUR, None), Flag.ANCHOR_FORGED),
        (reading(at=HOUR), Flag.ANCHOR_AFTER_ARRIVAL),
        (reading(at=-13 * HOUR, elapsed=13 * HOUR), Flag.ANCHOR_TOO_OLD),
    ],
)
def test_an_anchor_that_cannot_be_believed_has_no_effect_and_is_flagged(
    changed: ClockReading, flag: Flag
) -> None:
    official, flags = judge_time(evidence(clock=changed), ONLINE, SECOND)
    assert (official.at, official.grade) == (SEVEN + SECOND, TimeGrade.ARRIVAL)
    assert flag in flags


def test_a_rotated_anchor_key_is_still_believed() -> None:
    old = anchor.AnchorKeys(3, ANCHOR_KEYS.keys)
    made = anchor.issue(old, SEVEN - HOUR, DEVICE, SESSION)
    official, _ = judge_time(evidence(clock=ClockReading(made, SESSION, HOUR, None)), ONLINE, SECOND)
    assert official.grade is TimeGrade.ANCHORED


def test_clocks_that_disagree_are_flagged() -> None:
    tap = evidence(clock=reading(wall=-HOUR), pressed_at=SEVEN + 5 * timedelta(minutes=1))
    _, flags = judge_time(tap, ONLINE, SECOND)
    assert Flag.CLOCKS_DISAGREE in flags


SPANS = st.timedeltas(min_value=timedelta(days=-40), max_value=timedelta(days=40))
POSITIVE = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=6))


@given(
    anchored=st.none() | SPANS,
    elapsed=st.none() | POSITIVE,
    wall=st.none() | SPANS,
    pressed=SPANS,
    queued=POSITIVE,
    sent=st.none() | SPANS,
)
def test_official_time_is_never_after_arrival_and_never_before_its_anchor(
    anchored: timedelta | None,
    elapsed: timedelta | None,
    wall: timedelta | None,
    pressed: timedelta,
    queued: timedelta,
    sent: timedelta | None,
) -> None:
    clock = None if anchored is None else reading(at=anchored, elapsed=elapsed, wall=wall)
    tap = evidence(clock=clock, pressed_at=SEVEN + pressed)
    official, _ = judge_time(tap, Sending(queued, None if sent is None else SEVEN + sent), timedelta(0))
    assert official.at <= SEVEN
    if official.grade in (TimeGrade.ANCHORED, TimeGrade.BRACKETED):
        assert anchored is not None
        assert official.at >= SEVEN + anchored


def bracketed_tap(drift: timedelta, *, anchor_age: timedelta = HOUR) -> tuple[OfficialTime, set[Flag]]:
    """A press after a page reload, with a wall clock that drifted by `drift` since the anchor."""
    tap = evidence(clock=reading(at=-anchor_age, elapsed=None, wall=-anchor_age))
    return judge_time(tap, Sending(5 * HOUR, SEVEN + 5 * HOUR + drift), 5 * HOUR)


@pytest.mark.parametrize(
    ("drift", "grade"),
    [
        (timedelta(seconds=2), TimeGrade.BRACKETED),
        (timedelta(seconds=-2), TimeGrade.BRACKETED),
        (timedelta(milliseconds=2001), TimeGrade.CLAIMED),
        (timedelta(milliseconds=-2001), TimeGrade.CLAIMED),
    ],
)
def test_two_seconds_of_drift_are_the_bracket(drift: timedelta, grade: TimeGrade) -> None:
    assert bracketed_tap(drift)[0].grade is grade


def test_an_anchor_too_old_to_run_still_brackets() -> None:
    """Opened the evening before, offline at seven, synced at nine: the offset held all night."""
    tap = evidence(clock=reading(at=-13 * HOUR, elapsed=13 * HOUR, wall=-13 * HOUR))
    official, flags = judge_time(tap, Sending(2 * HOUR, SEVEN + 2 * HOUR), 2 * HOUR)
    assert (official.at, official.grade) == (SEVEN, TimeGrade.BRACKETED)
    assert flags == {Flag.LATE_SYNC, Flag.LONG_DELAY}


def test_an_offset_is_not_believed_beyond_the_sync_window() -> None:
    limit = POLICY.anchor_max_age + POLICY.late_sync
    at_limit, _ = bracketed_tap(timedelta(0), anchor_age=limit - 5 * HOUR)
    beyond, flags = bracketed_tap(timedelta(0), anchor_age=limit - 5 * HOUR + SECOND)
    assert (at_limit.grade, beyond.grade) == (TimeGrade.BRACKETED, TimeGrade.CLAIMED)
    assert Flag.ANCHOR_TOO_OLD in flags


def test_an_anchor_after_arrival_leaves_only_the_arrival_to_believe() -> None:
    """The edge's clock is behind: a late claim must not set the time instead."""
    tap = evidence(clock=reading(at=HOUR), pressed_at=SEVEN - 3 * HOUR)
    official, flags = judge_time(tap, Sending(3 * HOUR, SEVEN), timedelta(0))
    assert (official.at, official.grade) == (SEVEN, TimeGrade.ARRIVAL)
    assert Flag.ANCHOR_AFTER_ARRIVAL in flags


def test_twelve_hours_are_the_age_of_a_running_anchor() -> None:
    age = POLICY.anchor_max_age
    running, _ = judge_time(evidence(clock=reading(at=-age, elapsed=age)), ONLINE, SECOND)
    ended, flags = judge_time(
        evidence(clock=reading(at=-age - SECOND, elapsed=age + timedelta(milliseconds=1))), ONLINE, SECOND
    )
    assert (running.grade, ended.grade) == (TimeGrade.ANCHORED, TimeGrade.ARRIVAL)
    assert Flag.ANCHOR_TOO_OLD in flags


@pytest.mark.parametrize(
    ("queued", "grade", "late"),
    [
        (POLICY.online_queue_limit, TimeGrade.ARRIVAL, False),
        (POLICY.online_queue_limit + timedelta(milliseconds=1), TimeGrade.CLAIMED, True),
    ],
)
def test_a_minute_on_the_phone_is_still_online(queued: timedelta, grade: TimeGrade, late: bool) -> None:
    official, flags = judge_time(evidence(), Sending(queued, SEVEN + queued), queued)
    assert official.grade is grade
    assert (Flag.LATE_SYNC in flags) is late


@pytest.mark.parametrize(("over", "flagged"), [(timedelta(0), False), (SECOND, True)])
def test_a_sync_after_three_days_is_flagged(over: timedelta, flagged: bool) -> None:
    waited = POLICY.late_sync + over
    _, flags = judge_time(evidence(), Sending(waited, SEVEN + waited), waited)
    assert (Flag.LATE_SYNC_EXPIRED in flags) is flagged


@given(
    age=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3)),
    offset=SPANS,
    drift=st.timedeltas(min_value=timedelta(seconds=-3), max_value=timedelta(seconds=3)),
    pressed=SPANS,
)
def test_a_bracketed_press_lies_between_anchor_and_arrival(
    age: timedelta, offset: timedelta, drift: timedelta, pressed: timedelta
) -> None:
    clock = reading(at=-age, elapsed=None, wall=-age + offset)
    tap = evidence(clock=clock, pressed_at=SEVEN + pressed)
    official, _ = judge_time(tap, Sending(HOUR, SEVEN + offset + drift), timedelta(0))
    within = abs(drift) <= timedelta(seconds=2)
    assert official.grade is (TimeGrade.BRACKETED if within else TimeGrade.CLAIMED)
    if within:
        assert official.at == min(max(SEVEN + pressed - offset, SEVEN - age), SEVEN)
