"""The provisional verdict: the shared table of day verdicts, and the flags of place."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.checkin.adapters.policy_file import DEFAULT_POLICY, parse_book
from services.checkin.domain.judge import distance_m, judge, verdict_on
from services.checkin.domain.tap import Flag, Location, Slot, Verdict
from tests.unit.checkin.builders import AT_SCHOOL, BOOK, SCHOOL, SEVEN, accepted

TABLE = json.loads((Path(__file__).parents[2] / "vectors" / "day_verdicts.json").read_text(encoding="utf-8"))
POLICIES = {
    name: parse_book(json.dumps(document)).policies[0] for name, document in TABLE["policies"].items()
}


def test_the_table_is_not_empty() -> None:
    assert len(TABLE["vectors"]) >= 30


@pytest.mark.parametrize("vector", TABLE["vectors"], ids=lambda each: str(each)[:110])
def test_verdict_equals_the_shared_table(vector: dict[str, Any]) -> None:
    policy = POLICIES[vector["policy"]]
    official = datetime.fromisoformat(vector["official_local"]).replace(tzinfo=policy.zone)
    slot, week_days = Slot[vector["slot"]], vector["week_days"]
    verdict, minutes = verdict_on(policy, official.date(), week_days, slot, official)
    assert (verdict.name, minutes, policy.minutes_class(minutes)) == (
        vector["verdict"],
        vector["minutes"],
        vector["class"],
    )


def test_the_packaged_policies_of_both_services_are_the_same() -> None:
    other = DEFAULT_POLICY.parents[2] / "reporting" / "policy" / "default.json"
    assert DEFAULT_POLICY.read_bytes() == other.read_bytes()


def test_an_ordinary_tap_has_no_flags() -> None:
    judgement = judge(accepted(), SCHOOL, BOOK)
    assert (judgement.verdict, judgement.minutes, tuple(judgement.flags)) == (Verdict.ON_TIME, 0, ())
    assert judgement.work_date.isoformat() == "2027-03-15"


@pytest.mark.parametrize(
    ("location", "flag"),
    [
        (None, Flag.NO_LOCATION),
        (Location(AT_SCHOOL.latitude, AT_SCHOOL.longitude, 10.0, True), Flag.MOCK_LOCATION),
        (Location(AT_SCHOOL.latitude, AT_SCHOOL.longitude, 500.0, None), Flag.POOR_ACCURACY),
        (Location(AT_SCHOOL.latitude + 0.01, AT_SCHOOL.longitude, 10.0, None), Flag.OUTSIDE_FENCE),
    ],
)
def test_a_doubtful_place_is_a_flag_and_no_refusal(location: Location | None, flag: Flag) -> None:
    judgement = judge(accepted(location=location), SCHOOL, BOOK)
    assert tuple(judgement.flags) == (flag,)
    assert judgement.verdict is Verdict.ON_TIME


def test_accuracy_widens_the_fence() -> None:
    away = Location(AT_SCHOOL.latitude + 0.001, AT_SCHOOL.longitude, 60.0, None)
    assert 75 < distance_m(away.latitude, away.longitude, SCHOOL.latitude, SCHOOL.longitude) < 75 + 60
    assert not judge(accepted(location=away), SCHOOL, BOOK).flags


def test_an_unknown_person_is_judged_by_the_longer_week_and_flagged() -> None:
    saturday = SEVEN - timedelta(days=2)
    judgement = judge(accepted(official=saturday), None, BOOK)
    assert judgement.verdict is Verdict.ON_TIME
    assert tuple(judgement.flags) == (Flag.PERSON_UNKNOWN,)


def test_a_holiday_is_no_working_day() -> None:
    document = json.loads(DEFAULT_POLICY.read_text(encoding="utf-8"))
    document["holidays"] = [{"date": "2027-03-15", "name": "Nyepi", "week_days": []}]
    book = parse_book(json.dumps(document))
    judgement = judge(accepted(), SCHOOL, book)
    assert judgement.verdict is Verdict.NOT_A_WORKING_DAY
    assert tuple(judgement.flags) == (Flag.NOT_A_WORKING_DAY,)
