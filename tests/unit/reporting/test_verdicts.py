"""The shared table of verdicts, and that both services start from the same rules."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from hadir.reporting.v1 import reporting_service_pb2
from services.reporting.adapters.policy_file import PACKAGED, parse_policies
from services.reporting.domain.assess import assess_day, judge
from services.reporting.domain.board import UnitLevel
from services.reporting.domain.facts import (
    Flag,
    Slot,
    SlotResult,
    Tap,
    TimeGrade,
    Verdict,
    flag_bits,
    flag_numbers,
)
from services.reporting.domain.policy import Policy, SchoolCalendar, duty_day

ROOT = Path(__file__).resolve().parents[3]
TABLE = json.loads((ROOT / "tests" / "vectors" / "day_verdicts.json").read_bytes())


def asked(vector: dict[str, Any]) -> tuple[Policy, datetime]:
    """The policy in force on a vector's date, and its official time."""
    book = parse_policies(TABLE["policies"][vector["policy"]])
    local = datetime.fromisoformat(vector["official_local"]).replace(tzinfo=book.newest.zone)
    return book.on(local.date()), local


@pytest.mark.parametrize("vector", TABLE["vectors"], ids=lambda vector: vector["name"])
def test_a_tap_is_judged_as_the_table_says(vector: dict[str, Any]) -> None:
    policy, local = asked(vector)
    duty = duty_day(policy, SchoolCalendar("50200001", vector["week_days"]), local.date())
    judged = judge(duty, Slot[vector["slot"]], local.astimezone(UTC))
    assert (judged.verdict.name, judged.minutes, judged.minutes_class) == (
        vector["verdict"],
        vector["minutes"],
        vector["class"],
    )


@pytest.mark.parametrize("vector", TABLE["vectors"], ids=lambda vector: vector["name"])
def test_the_day_says_of_its_only_tap_what_the_table_says(vector: dict[str, Any]) -> None:
    policy, local = asked(vector)
    duty = duty_day(policy, SchoolCalendar("50200001", vector["week_days"]), local.date())
    tap = Tap("a", Slot[vector["slot"]], local.astimezone(UTC), TimeGrade.ANCHORED, 0)
    assessed = assess_day(duty, [tap], now=local.astimezone(UTC))
    result = {
        "ON_TIME": SlotResult.PRESENT,
        "LATE": SlotResult.LATE,
        "EARLY_LEAVE": SlotResult.EARLY_LEAVE,
    }.get(vector["verdict"], SlotResult.PENDING)
    slots = {slot.slot: slot for slot in assessed.slots}
    if vector["verdict"] == "NOT_A_WORKING_DAY":
        assert (assessed.slots, assessed.status_code, assessed.due_at) == ((), "", None)
    elif Slot[vector["slot"]] in slots:
        slot = slots[Slot[vector["slot"]]]
        assert (slot.result, slot.minutes, slot.minutes_class) == (result, vector["minutes"], vector["class"])


def test_every_kind_of_verdict_is_in_the_table() -> None:
    assert {vector["verdict"] for vector in TABLE["vectors"]} == {verdict.name for verdict in Verdict}


def test_both_services_are_packaged_with_the_same_rules() -> None:
    assert PACKAGED.read_bytes() == (ROOT / "services" / "checkin" / "policy" / "default.json").read_bytes()


def test_the_table_s_default_policy_is_the_packaged_one() -> None:
    assert TABLE["policies"]["default"] == json.loads(PACKAGED.read_bytes())


def test_numbers_are_those_of_the_protos() -> None:
    for slot in Slot:
        assert tap_pb2.Slot.Value(f"SLOT_{slot.name}") == int(slot)
    for grade in TimeGrade:
        assert tap_pb2.TimeGrade.Value(f"TIME_GRADE_{grade.name}") == int(grade)
    for flag in Flag:
        assert tap_pb2.Flag.Value(f"FLAG_{flag.name}") == int(flag)
    for verdict in Verdict:
        assert tap_pb2.Verdict.Value(f"VERDICT_{verdict.name}") == int(verdict)
    for result in SlotResult:
        assert events_pb2.SlotResult.Value(f"SLOT_RESULT_{result.name}") == int(result)
    for level in UnitLevel:
        assert reporting_service_pb2.UnitLevel.Value(f"UNIT_LEVEL_{level.name}") == int(level)


def test_every_flag_of_the_protos_fits_the_bits() -> None:
    numbers = sorted(tap_pb2.Flag.values())[1:]
    assert flag_numbers(flag_bits(numbers)) == numbers
    assert flag_bits([*numbers, 5000]) < 1 << 63
