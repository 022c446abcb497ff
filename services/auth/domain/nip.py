"""The NIP, the eighteen digits by which Indonesia's civil service knows a person. Owner: auth.

A NIP is the birth date (YYYYMMDD), the appointment (YYYYMM), the sex (1 male, 2 female) and a serial of
three digits. It has no check digit, so only its structure can be judged here. For PPPK staff (contract civil
servants) positions 13 and 14 are not a month. Source: the project's domain rules, "People and places".
"""

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum, unique

NIP_DIGITS = 18

# Spreadsheets keep fifteen digits of a number; what a cell shows as 1.98001E+17 has lost its serial for good.
_LOST_DIGITS = re.compile(r"[+-]?\d+([.,]\d+)?[eE][+-]?\d+|\d{15,}[.,]0+")
_SEPARATORS = re.compile(r"[\s'\u2018\u2019`\u00b4\"._\-\u2010-\u2015\u200b-\u200f\u2060\ufeff]+")


@unique
class Sex(StrEnum):
    """Position 15 of a NIP, and Dapodik's column JK (L laki-laki, P perempuan)."""

    MALE = "L"
    FEMALE = "P"


@unique
class NipProblem(StrEnum):
    """Why a text is no NIP; the names are reasons that clients may rely on."""

    MISSING = "NIP_MISSING"
    LOST_DIGITS = "NIP_LOST_DIGITS"
    LETTERS = "NIP_LETTERS"
    LENGTH = "NIP_LENGTH"
    BIRTH_DATE = "NIP_BIRTH_DATE"
    APPOINTMENT = "NIP_APPOINTMENT"
    SEX = "NIP_SEX"


class NipError(ValueError):
    """A text that is no NIP.

    Attributes:
        problem: the first problem found, in the order of `NipProblem`.
        found: the part that is wrong (a count, a character and its position, a date); personal, not for logs.
    """

    def __init__(self, problem: NipProblem, found: str) -> None:
        super().__init__(problem.value)
        self.problem = problem
        self.found = found


@dataclass(frozen=True, slots=True)
class Nip:
    """A NIP whose structure holds.

    Attributes:
        digits: the eighteen ASCII digits.
        birth_date: positions 1-8.
        appointment_year: positions 9-12.
        appointment_month: positions 13-14 as 1..12; None where they are not a month (PPPK).
        sex: position 15.
        serial: positions 16-18, 0..999.
    """

    digits: str
    birth_date: dt.date
    appointment_year: int
    appointment_month: int | None
    sex: Sex
    serial: int


def tidy_nip(text: str) -> str:
    """The text without what people and spreadsheets put into a NIP: spaces, apostrophes, dots, dashes.

    Full-width digits become ASCII. Letters stay, so that `parse_nip` can name them. Idempotent.
    """
    # Composed again, as what a separator kept apart may now compose.
    return unicodedata.normalize("NFKC", _SEPARATORS.sub("", unicodedata.normalize("NFKC", text)))


def parse_nip(text: str, *, month_required: bool) -> Nip:
    """Read a NIP from a text as found in a spreadsheet cell.

    Args:
        text: the cell's text; separators are removed first.
        month_required: whether positions 13-14 must be a month. False for PPPK staff and unknown statuses.

    Raises:
        NipError: the text is no NIP; it says what is wrong first.
    """
    if _LOST_DIGITS.fullmatch(text.strip()):
        raise NipError(NipProblem.LOST_DIGITS, text.strip())
    digits = tidy_nip(text)
    if not digits:
        raise NipError(NipProblem.MISSING, "")
    _require_digits(digits)
    birth_date = _birth_date(digits[:8])
    year, month = int(digits[8:12]), int(digits[12:14])
    is_month = 1 <= month <= 12
    # Nobody was appointed before birth; how young is too young is no published rule, so it is none here.
    if year <= birth_date.year or (month_required and not is_month):
        raise NipError(NipProblem.APPOINTMENT, digits[8:14])
    if digits[14] not in "12":
        raise NipError(NipProblem.SEX, digits[14])
    return Nip(
        digits=digits,
        birth_date=birth_date,
        appointment_year=year,
        appointment_month=month if is_month else None,
        sex=Sex.MALE if digits[14] == "1" else Sex.FEMALE,
        serial=int(digits[15:]),
    )


def _require_digits(digits: str) -> None:
    for position, character in enumerate(digits, start=1):
        # Not str.isdigit: Arabic-Indic and superscript digits satisfy it.
        if character not in "0123456789":
            raise NipError(NipProblem.LETTERS, f"{character} ({position})")
    if len(digits) != NIP_DIGITS:
        raise NipError(NipProblem.LENGTH, str(len(digits)))


def _birth_date(digits: str) -> dt.date:
    try:
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        raise NipError(NipProblem.BIRTH_DATE, digits) from None
