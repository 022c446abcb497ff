"""Activation codes: made, typed back in any way, judged."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain import errors
from services.auth.domain.activation import (
    CODE_BYTES,
    CodeOnFile,
    UsedBy,
    code_digest,
    judge_code,
    new_code,
    normalise_code,
    same_number,
)

NOW = datetime(2026, 7, 1, 7, tzinfo=UTC)
PERSON, DEVICE = UUID(int=1), UUID(int=2)
KEY, OTHER_KEY = b"\x04" + bytes(64), b"\x04" + bytes(63) + b"\1"
FRESH = CodeOnFile(
    person_id=PERSON,
    staff_number="198001012005011001",
    name="A",
    npsn="50203000",
    person_active=True,
    person_has_device=False,
    expires_at=NOW + timedelta(days=1),
    voided=False,
    used_by=None,
)
ENTROPY = st.binary(min_size=CODE_BYTES, max_size=CODE_BYTES)


@given(ENTROPY)
def test_a_code_is_four_groups_of_four_and_reads_back(entropy: bytes) -> None:
    code = new_code(entropy)
    assert [len(group) for group in code.split("-")] == [4, 4, 4, 4]
    assert not set(code) & set("ILOU")
    assert normalise_code(code) == code.replace("-", "")


@given(ENTROPY, ENTROPY)
def test_different_bytes_are_different_codes(one: bytes, other: bytes) -> None:
    assert (one == other) == (new_code(one) == new_code(other))


@given(
    ENTROPY,
    st.lists(
        st.sampled_from(["", " ", "-", "\u2013", "\u00a0", "_", ".", "\u200b"]), min_size=19, max_size=19
    ),
)
def test_however_a_person_types_it_it_is_the_same_code(entropy: bytes, gaps: list[str]) -> None:
    code = new_code(entropy)
    letters = [{"0": "o", "1": "l"}.get(letter, letter.lower()) for letter in code]
    typed = "".join(letter + gap for letter, gap in zip(letters, gaps, strict=True))
    assert code_digest(typed) == code_digest(code)
    assert normalise_code(normalise_code(typed)) == normalise_code(typed)


@given(st.text(max_size=64))
def test_any_text_is_a_code_or_a_typed_refusal(text: str) -> None:
    try:
        code = normalise_code(text)
    except errors.ActivationCodeInvalidError:
        return
    assert len(code) == 16
    assert normalise_code(code) == code


def test_full_width_letters_are_letters() -> None:
    assert normalise_code("\uff21\uff22\uff23\uff24efgh0123" + "4567") == "ABCDEFGH01234567"


@pytest.mark.parametrize("text", ["", "ABCD", "ABCDEFGH0123456", "ABCDEFGH012345678", "UUUUUUUUUUUUUUUU"])
def test_what_is_no_code(text: str) -> None:
    with pytest.raises(errors.ActivationCodeInvalidError):
        normalise_code(text)


@pytest.mark.parametrize(
    ("given_number", "kept", "same"),
    [
        ("198001012005011001", "198001012005011001", True),
        ("19800101 200501 1 001", "198001012005011001", True),
        ("'198001012005011001", "198001012005011001", True),
        ("gt-77", "GT-77", True),
        ("198001012005011002", "198001012005011001", False),
        ("", "198001012005011001", False),
        ("\udcff", "198001012005011001", False),
    ],
)
def test_numbers_are_compared_without_what_people_put_between(
    given_number: str, kept: str, same: bool
) -> None:
    assert same_number(given_number, kept) is same


def test_a_fresh_code_binds() -> None:
    assert judge_code(FRESH, public_key=KEY, now=NOW) is None


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"voided": True}, errors.ActivationCodeInvalidError),
        ({"expires_at": NOW}, errors.ActivationCodeExpiredError),
        ({"person_active": False}, errors.PersonInactiveError),
        ({"person_has_device": True}, errors.DeviceAlreadyBoundError),
        ({"used_by": UsedBy(DEVICE, OTHER_KEY, revoked=False)}, errors.ActivationCodeUsedError),
        ({"used_by": UsedBy(DEVICE, KEY, revoked=True)}, errors.ActivationCodeUsedError),
    ],
)
def test_refusals(change: dict[str, object], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        judge_code(replace(FRESH, **change), public_key=KEY, now=NOW)  # type: ignore[arg-type]


def test_the_same_key_gets_its_device_whatever_became_of_the_code() -> None:
    used = replace(FRESH, used_by=UsedBy(DEVICE, KEY, revoked=False), expires_at=NOW, person_has_device=True)
    assert judge_code(used, public_key=KEY, now=NOW) == DEVICE
