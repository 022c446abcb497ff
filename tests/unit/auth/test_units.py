"""Units, scopes, and the roles of a session."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.errors import OutOfScopeError
from services.auth.domain.identifiers import uuid7
from services.auth.domain.units import (
    Breadth,
    Caller,
    Grant,
    Role,
    Unit,
    district_in_regency,
    parse_unit,
    session_roles,
)

PLACE = {"regency": "5202", "district": "52.02.01", "npsn": "50203000"}
HOME = Unit(Breadth.SCHOOL, "50203000")


@pytest.mark.parametrize("text", ["regency:5202", "district:52.02.01", "school:50203000", "school:5020A000"])
def test_a_unit_reads_back(text: str) -> None:
    assert str(parse_unit(text)) == text


@given(st.text(max_size=30))
def test_any_text_is_a_unit_or_a_value_error(text: str) -> None:
    try:
        unit = parse_unit(text)
    except ValueError:
        return
    assert str(unit) == text


@pytest.mark.parametrize(
    "text", ["", "regency:", "regency:52.02", "district:5202", "school:", "school:a b", "x:5202"]
)
def test_what_is_no_unit(text: str) -> None:
    with pytest.raises(ValueError, match="no unit"):
        parse_unit(text)


@pytest.mark.parametrize(
    ("unit", "covers"),
    [
        ("regency:5202", True), ("regency:5203", False), ("district:52.02.01", True), ("district:52.02.02", False),
        ("school:50203000", True), ("school:50203001", False),
    ],
)  # fmt: skip
def test_who_covers_a_school(unit: str, covers: bool) -> None:
    assert parse_unit(unit).covers(**PLACE) is covers


def test_a_caller_without_a_unit_or_of_elsewhere_acts_nowhere() -> None:
    for unit in (None, Unit(Breadth.REGENCY, "5203")):
        with pytest.raises(OutOfScopeError):
            Caller("staff:x", unit).scope("5202")
    assert Caller("service:checkin", None, is_service=True).scope("5202") == Unit(Breadth.REGENCY, "5202")


def test_districts_belong_to_their_regency() -> None:
    assert district_in_regency("52.02.01", "5202")
    assert not district_in_regency("52.03.01", "5202")


GRANTS = st.builds(
    Grant,
    st.sampled_from(list(Role)),
    st.sampled_from(
        [
            HOME,
            Unit(Breadth.SCHOOL, "50203001"),
            Unit(Breadth.DISTRICT, "52.02.01"),
            Unit(Breadth.REGENCY, "5202"),
        ]
    ),
)


@given(st.lists(GRANTS, max_size=8))
def test_no_role_grows_beyond_the_unit_it_was_granted_in(grants: list[Grant]) -> None:
    roles, unit = session_roles(HOME, grants)
    assert Role.TEACHER in roles
    assert list(roles) == sorted(set(roles))
    for role in set(roles) - {Role.TEACHER}:
        assert Grant(role, unit) in grants
    assert all(grant.unit.breadth <= unit.breadth for grant in grants)


@given(st.integers(0, 2**40), st.binary(min_size=10, max_size=10))
def test_identifiers_are_version_7_and_hold_their_moment(milliseconds: int, entropy: bytes) -> None:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    made = uuid7(moment, entropy)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert abs((made.int >> 80) - milliseconds) <= 1
