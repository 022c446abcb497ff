"""Cleaning the single fields of a roster row: phone, NUPTK, NPSN, status, birth date, sex. Owner: auth.

Each function takes a cell as found and returns the clean value, or None where there is none to trust. All are
pure and idempotent on their own output.
"""

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum, unique

from services.auth.domain.nip import Sex, tidy_nip

NUPTK_DIGITS = 16
NPSN_LENGTH = 8

# What people write into a cell that has nothing to say.
_PLACEHOLDERS = frozenset(
    {"", "-", "--", "---", "0", "null", "none", "n/a", "tidak ada", "belum ada", "kosong", "#n/a"}
)
_PHONE_SEPARATOR = re.compile(r"[/,;|&]| dan | atau ")
# National significant number of an Indonesian mobile: 8 and eight to eleven digits more.
_MOBILE = re.compile(r"(?:\+?62\s*0?|0)?(8\d{8,11})")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T]00:00(?::00)?)?")
_LOCAL_DATE = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")


@unique
class CellKind(StrEnum):
    """What the spreadsheet held: a number has lost digits beyond the fifteenth, a text has not."""

    EMPTY = "empty"
    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as found.

    Attributes:
        text: what it says; whole numbers without a decimal point, dates as YYYY-MM-DD.
        kind: how the spreadsheet stored it.
    """

    text: str = ""
    kind: CellKind = CellKind.EMPTY


@unique
class EmploymentStatus(StrEnum):
    """Dapodik's Status Kepegawaian, reduced to what rules depend on."""

    PNS = "pns"
    CPNS = "cpns"
    PPPK = "pppk"
    HONORARY = "honorary"
    OTHER = "other"


def is_blank(cell: Cell) -> bool:
    """Whether the cell says nothing: empty, or one of the usual placeholders."""
    return (
        cell.kind is CellKind.EMPTY
        or " ".join(cell.text.strip(" '\"\u00a0\t").casefold().split()) in _PLACEHOLDERS
    )


def clean_status(text: str) -> EmploymentStatus:
    """The employment status meant by a text; OTHER when it is none of the known ones."""
    words = re.sub(r"[^a-z0-9]+", " ", text.casefold()).split()
    first = words[0] if words else ""
    if first in {"pppk", "p3k"}:
        return EmploymentStatus.PPPK
    if first in {"pns", "cpns"}:
        return EmploymentStatus(first)
    honorary = {"honor", "honorer", "gtt", "ptt", "gty", "pty", "kontrak", "sukarela", "sukarelawan", "thl"}
    return EmploymentStatus.HONORARY if honorary.intersection(words) else EmploymentStatus.OTHER


def clean_nuptk(cell: Cell) -> str | None:
    """Sixteen digits, or None. A number cell is not trusted: spreadsheets keep fifteen digits."""
    if is_blank(cell) or cell.kind is CellKind.NUMBER:
        return None
    digits = tidy_nip(cell.text)
    return digits if re.fullmatch(r"[0-9]{16}", digits) else None


def clean_phone(cell: Cell) -> str | None:
    """The first mobile number of the cell as E.164 (+628...), or None. A lost leading zero is restored."""
    if is_blank(cell):
        return None
    for part in _PHONE_SEPARATOR.split(unicodedata.normalize("NFKC", cell.text).casefold()):
        found = _MOBILE.fullmatch(re.sub(r"[\s'().\-\u2010-\u2015\u200b-\u200f\u202a-\u202e]+", "", part))
        if found and found[1].isascii():
            return f"+62{found[1]}"
    return None


def clean_npsn(cell: Cell) -> str:
    """The school number in capitals without separators; empty if the cell is blank. Length is not judged."""
    if is_blank(cell):
        return ""
    text = cell.text.strip()
    return tidy_nip(re.sub(r"(?<=\d)\.0+$", "", text)).upper()


def clean_birth_date(cell: Cell) -> dt.date | None:
    """The date meant (YYYY-MM-DD, or day first as Indonesians write), or None."""
    text = cell.text.strip(" '")
    if found := _ISO_DATE.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _LOCAL_DATE.fullmatch(text):
        day, month, year = (int(part) for part in found.groups())
    else:
        return None
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def clean_sex(cell: Cell) -> Sex | None:
    """The sex meant by L or P, spelled out or not, or None."""
    word = cell.text.strip(" '").casefold()
    if word in {"l", "laki-laki", "laki laki", "pria"}:
        return Sex.MALE
    return Sex.FEMALE if word in {"p", "perempuan", "wanita"} else None
