"""Policy documents: what is taken, and what a service refuses to start with."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.reporting.adapters.policy_file import (
    PACKAGED,
    PolicyInvalidError,
    load_policies,
    parse_policies,
)
from services.reporting.domain.policy import SchoolCalendar, duty_day
from services.reporting.entrypoints.access import OFFERED, access_table
from services.reporting.entrypoints.errors import ERRORS

DEFAULT: dict[str, Any] = json.loads(PACKAGED.read_bytes())


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = copy.deepcopy(DEFAULT)
    change(document)
    return document


def test_the_default_is_the_week_of_the_source() -> None:
    book = load_policies(None, zone="Asia/Makassar")
    duty = duty_day(book.newest, SchoolCalendar("", 5), date(2026, 8, 3))
    assert duty.windows[0].on_time_until == datetime(2026, 8, 2, 23, tzinfo=UTC)
    assert duty.windows[1].on_time_until == datetime(2026, 8, 3, 7, 30, tzinfo=UTC)
    assert duty.windows[0].complete_at == datetime(2026, 8, 3, 4, tzinfo=UTC) + timedelta(hours=72)


def test_dated_versions_hold_from_their_date() -> None:
    later = changed(lambda document: document.update(version=2, valid_from="2026-01-01", grace_minutes=5))
    book = parse_policies([DEFAULT, later])
    days = (date(2022, 12, 31), date(2023, 1, 1), date(2025, 12, 31), date(2026, 1, 1))
    # Before the first one begins, that one.
    assert [book.on(day).version for day in days] == [1, 1, 1, 2]
    assert book.begins == date(2023, 1, 1)
    assert book.newest.grace == timedelta(minutes=5)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("zone"),
        lambda document: document.update(zone="Mars/Olympus"),
        lambda document: document.update(version=0),
        lambda document: document.update(valid_from="tomorrow"),
        lambda document: document.update(grace_minutes=-1),
        lambda document: document["classes"].reverse(),
        lambda document: document["groups"].append(document["groups"][0]),
        lambda document: document["groups"][0]["weekdays"].append(document["groups"][0]["weekdays"][0]),
        lambda document: document["groups"][0]["weekdays"][0]["slots"].append(
            document["groups"][0]["weekdays"][0]["slots"][0]
        ),
        lambda document: document["groups"][0]["weekdays"][0]["slots"][0].update(opens="13:00"),
        lambda document: document["groups"][0]["weekdays"][0]["slots"][0].update(opens="07:00+08:00"),
        lambda document: document["groups"][0]["weekdays"][0]["slots"][0].update(slot="LUNCH"),
        lambda document: document.update(holidays=[{"date": "2026-02-30"}]),
        lambda document: document.update(late_sync_hours=-1),
    ],
)
def test_a_policy_that_cannot_be_right_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(PolicyInvalidError):
        parse_policies(changed(change))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"3"])
def test_a_file_that_is_no_policy_names_itself(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(content)
    with pytest.raises(PolicyInvalidError):
        load_policies(path, zone="Asia/Makassar")
    with pytest.raises(PolicyInvalidError, match="missing"):
        load_policies(tmp_path / "missing.json", zone="Asia/Makassar")


def test_rules_for_another_zone_than_the_deployment_s_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(
        json.dumps([DEFAULT, changed(lambda document: document.update(version=2, zone="Asia/Jayapura"))])
    )
    with pytest.raises(
        PolicyInvalidError, match="version 2 is for zone Asia/Jayapura, but HADIR_ZONE is Asia/Makassar"
    ):
        load_policies(path, zone="Asia/Makassar")
    with pytest.raises(
        PolicyInvalidError, match="version 1 is for zone Asia/Makassar, but HADIR_ZONE is Asia/Jakarta"
    ):
        load_policies(None, zone="Asia/Jakarta")


def test_conditional_rules_and_holidays_are_taken() -> None:
    document = changed(
        lambda document: document.update(
            conditional=[{"npsn": ["50203000"], "accept_claimed": True, "late_sync_hours": 120}],
            holidays=[{"date": "2026-08-17", "name": "HUT RI"}, {"date": "2026-08-18", "week_days": [5]}],
        )
    )
    policy = parse_policies(document).newest
    special = duty_day(policy, SchoolCalendar("50203000", 5), date(2026, 8, 3))
    usual = duty_day(policy, SchoolCalendar("50203001", 5), date(2026, 8, 3))
    assert special.accept_claimed
    assert not usual.accept_claimed
    assert special.windows[0].complete_at - usual.windows[0].complete_at == timedelta(hours=48)
    days = [(date(2026, 8, 17), 6), (date(2026, 8, 18), 5), (date(2026, 8, 18), 6)]
    assert [bool(policy.slots_on(*day)) for day in days] == [False, False, True]


def test_every_method_has_an_access_rule_and_every_error_both_languages() -> None:
    table = access_table()
    assert len(table) == 9
    assert set(OFFERED) <= set(table)
    for rule in ERRORS.values():
        assert rule.message_id
        assert rule.message_en
        assert rule.message_id != rule.message_en
