"""The NIP's structure: what is one, what is not, and what is removed before judging."""

import contextlib
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.nip import Nip, NipError, NipProblem, Sex, parse_nip, tidy_nip

BIRTHS = st.dates(dt.date(1930, 1, 1), dt.date(2010, 12, 31))


@st.composite
def nips(draw: st.DrawFn) -> str:
    born = draw(BIRTHS)
    year = draw(st.integers(born.year + 1, born.year + 70))
    month = draw(st.integers(1, 12))
    return f"{born:%Y%m%d}{year}{month:02}{draw(st.sampled_from('12'))}{draw(st.integers(0, 999)):03}"


@given(nips())
def test_every_well_formed_nip_is_read_back(digits: str) -> None:
    nip = parse_nip(digits, month_required=True)
    month = nip.appointment_month or 0
    sex = "1" if nip.sex is Sex.MALE else "2"
    assert (
        f"{nip.birth_date:%Y%m%d}{nip.appointment_year}{month:02}{sex}{nip.serial:03}" == digits == nip.digits
    )


@given(nips(), st.lists(st.tuples(st.integers(0, 18), st.sampled_from(" '’.-_\u00a0\u200b\t")), max_size=6))
def test_separators_anywhere_change_nothing(digits: str, marks: list[tuple[int, str]]) -> None:
    text = digits
    for place, mark in marks:
        text = text[:place] + mark + text[place:]
    assert parse_nip(text, month_required=True).digits == digits


@given(st.text(max_size=40))
def test_any_text_is_a_nip_or_a_named_problem(text: str) -> None:
    with contextlib.suppress(NipError):
        nip = parse_nip(text, month_required=False)
        assert isinstance(nip, Nip)
        assert len(nip.digits) == 18
    assert tidy_nip(tidy_nip(text)) == tidy_nip(text)


@pytest.mark.parametrize(
    ("text", "problem", "found"),
    [
        ("", NipProblem.MISSING, ""),
        (" ' ", NipProblem.MISSING, ""),
        ("40371777104624608", NipProblem.LENGTH, "17"),
        ("1980010120060410010", NipProblem.LENGTH, "19"),
        ("19800101O006041001", NipProblem.LETTERS, "O (9)"),
        ("٢٩٨٠٠١٠١٢٠٠٦٠٤١٠٠١", NipProblem.LETTERS, "٢ (1)"),
        ("1.98001012006041e+17", NipProblem.LOST_DIGITS, "1.98001012006041e+17"),
        ("1,98001E+17", NipProblem.LOST_DIGITS, "1,98001E+17"),
        ("198001012006041000.0", NipProblem.LOST_DIGITS, "198001012006041000.0"),
        ("198013452006041001", NipProblem.BIRTH_DATE, "19801345"),
        ("198102292006041001", NipProblem.BIRTH_DATE, "19810229"),
        ("000001012006041001", NipProblem.BIRTH_DATE, "00000101"),
        ("198001012006001001", NipProblem.APPOINTMENT, "200600"),
        ("198001012024211001", NipProblem.APPOINTMENT, "202421"),
        ("198001011979041001", NipProblem.APPOINTMENT, "197904"),
        ("198001012006043001", NipProblem.SEX, "3"),
    ],
)
def test_a_text_that_is_no_nip_says_why(text: str, problem: NipProblem, found: str) -> None:
    with pytest.raises(NipError) as caught:
        parse_nip(text, month_required=True)
    assert (caught.value.problem, caught.value.found) == (problem, found)


def test_contract_staff_need_no_month() -> None:
    nip = parse_nip("198001012024211001", month_required=False)
    assert (nip.appointment_year, nip.appointment_month) == (2024, None)


def test_full_width_digits_are_digits() -> None:
    assert (
        parse_nip("１９８００１０１２００６０４１００１", month_required=True).digits == "198001012006041001"
    )
