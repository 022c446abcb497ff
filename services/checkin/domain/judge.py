"""The provisional verdict on an accepted tap; tests/vectors/day_verdicts.json holds it equal to reporting's."""

import math
from datetime import date, datetime, timedelta

from services.checkin.domain.policy import Policy, PolicyBook
from services.checkin.domain.tap import AcceptedTap, Flag, Judgement, Location, School, Slot, Verdict

_EARTH_RADIUS_M = 6_371_008.8
# A person the roster here does not know yet is judged by the longer week: nobody's Saturday tap is called idle.
_WEEK_DAYS_WHEN_UNKNOWN = 6
_MINUTE = timedelta(minutes=1)


def distance_m(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle distance in metres between two WGS 84 positions in degrees (haversine)."""
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    half_phi = (other_phi - phi) / 2
    half_lambda = math.radians(other_longitude - longitude) / 2
    chord = math.sin(half_phi) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_lambda) ** 2
    return 2 * _EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(chord)))


def _place_flags(location: Location | None, school: School | None, policy: Policy) -> list[Flag]:
    if location is None:
        return [Flag.NO_LOCATION]
    found = []
    if location.mock:
        found.append(Flag.MOCK_LOCATION)
    if location.accuracy_m > policy.poor_accuracy_m:
        found.append(Flag.POOR_ACCURACY)
    if school is not None:
        away = distance_m(location.latitude, location.longitude, school.latitude, school.longitude)
        if away > school.radius_m + location.accuracy_m:
            found.append(Flag.OUTSIDE_FENCE)
    return found


def verdict_on(
    policy: Policy, work_date: date, week_days: int, slot: Slot, official: datetime
) -> tuple[Verdict, int]:
    """The verdict of a tap at official for a school of week_days working days, and its minutes late or early.

    The time is cut to whole seconds first: what a clock shows is what people can be held to. A working day without this
    slot has no window to be in.
    """
    if policy.day_off_reason(work_date, week_days) is not None:
        return Verdict.NOT_A_WORKING_DAY, 0
    at = official.replace(microsecond=0)
    window = policy.windows(work_date, week_days).get(slot)
    if window is None or not window.opens <= at <= window.closes:
        return Verdict.OUTSIDE_WINDOW, 0
    if slot is Slot.IN:
        late = at - window.on_time_until - policy.grace
        return (Verdict.LATE, -(-late // _MINUTE)) if late > timedelta(0) else (Verdict.ON_TIME, 0)
    early = window.on_time_until - at
    return (Verdict.EARLY_LEAVE, -(-early // _MINUTE)) if early > timedelta(0) else (Verdict.ON_TIME, 0)


def judge(tap: AcceptedTap, school: School | None, book: PolicyBook) -> Judgement:
    """The provisional judgement of tap for a person of this school (None: the roster here does not know the person)."""
    policy = book.at(tap.official.at)
    work_date = tap.official.at.astimezone(policy.zone).date()
    week_days = school.week_days if school is not None else _WEEK_DAYS_WHEN_UNKNOWN
    verdict, minutes = verdict_on(policy, work_date, week_days, tap.evidence.slot, tap.official.at)
    flags = [*tap.flags, *_place_flags(tap.evidence.location, school, policy)]
    if school is None:
        flags.append(Flag.PERSON_UNKNOWN)
    if verdict is Verdict.OUTSIDE_WINDOW:
        flags.append(Flag.OUTSIDE_WINDOW)
    if verdict is Verdict.NOT_A_WORKING_DAY:
        flags.append(Flag.NOT_A_WORKING_DAY)
    return Judgement(
        work_date=work_date,
        verdict=verdict,
        minutes=minutes,
        minutes_class=policy.minutes_class(minutes),
        flags=tuple(sorted(set(flags))),
        policy_version=policy.version,
    )
