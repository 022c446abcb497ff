"""Judging the rows of an import together: who is listed twice. Owner: auth.

The first accepted row with a number keeps it; a later one is refused and names the first. A refused row
claims nothing, so a correct row after a broken one is accepted.
"""

from dataclasses import dataclass, field, replace

from services.auth.domain.roster import (
    AcceptedRow,
    Column,
    Notice,
    RawRow,
    Reason,
    Refusal,
    RosterRules,
    SchoolDirectory,
    StaffNumberKind,
    clean_row,
)
from services.auth.domain.roster_reasons import notice


@dataclass(frozen=True, slots=True)
class _First:
    file: str
    row: int
    name: str
    birth_date_differs: bool


@dataclass(slots=True)
class Seen:
    """What the rows judged so far have claimed. One per import, owned by its caller; one entry a row."""

    staff_numbers: dict[str, _First] = field(default_factory=dict)
    nuptks: dict[str, _First] = field(default_factory=dict)


def judge_row(raw: RawRow, schools: SchoolDirectory, rules: RosterRules, seen: Seen) -> AcceptedRow | Refusal:
    """Clean and judge a row, also against the rows before it.

    Call it once per row, in the file's order; `seen` is updated when the row is accepted.
    """
    row = clean_row(raw, schools, rules)
    if isinstance(row, Refusal):
        return row
    differs = any(w.reason is Reason.BIRTH_DATE_DIFFERS for w in row.warnings)
    own = _First(row.file, row.row, row.name, differs)
    first = seen.staff_numbers.get(row.staff_number)
    if first is not None:
        return Refusal(row.file, row.row, _taken(row, own, first))
    seen.staff_numbers[row.staff_number] = own
    return _without_taken_nuptk(row, own, seen)


def _taken(row: AcceptedRow, own: _First, first: _First) -> Notice:
    column = Column.NUPTK if row.staff_number_kind is StaffNumberKind.NUPTK else Column.NIP
    found, found_en = _where(row, first)
    if own.name.casefold() == first.name.casefold():
        return notice(column, Reason.PERSON_REPEATED, found=found, found_en=found_en)
    if row.staff_number_kind is not StaffNumberKind.NIP:
        return notice(column, Reason.NUMBER_DUPLICATE, found=found, found_en=found_en)
    hints = {}
    if first.birth_date_differs and not own.birth_date_differs:
        # The refused row is then likely the rightful one; say so, or its owner corrects the wrong file.
        hints = {
            "hint_id": f"Periksa dulu baris {first.row}: tanggal lahirnya tidak cocok dengan NIP ini.",
            "hint_en": f"Check row {first.row} first: its birth date does not fit this NIP.",
        }
    return notice(column, Reason.NIP_DUPLICATE, found=found, found_en=found_en, **hints)


def _without_taken_nuptk(row: AcceptedRow, own: _First, seen: Seen) -> AcceptedRow:
    if row.nuptk is None:
        return row
    first = seen.nuptks.setdefault(row.nuptk, own)
    if first is own:
        return row
    found, found_en = _where(row, first)
    warning = notice(Column.NUPTK, Reason.NUPTK_DUPLICATE, found=found, found_en=found_en)
    return replace(row, nuptk=None, warnings=(*row.warnings, warning))


def _where(row: AcceptedRow, first: _First) -> tuple[str, str]:
    """The first row as its reader finds it, in both languages: the file if it is another one, row, name."""
    file = "" if first.file == row.file else f"{first.file} "
    return f"{file}baris {first.row}, {first.name}", f"{file}row {first.row}, {first.name}"
