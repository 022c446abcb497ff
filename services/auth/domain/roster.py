"""Cleaning and judging one row of a staff roster (Dapodik's export). Owner: auth.

Pure rules: a row as it was found goes in, an accepted row or a refusal with its reason comes out; nothing
is read or written. What can be cleaned without guessing is cleaned; what cannot (a missing NIP, lost digits)
is refused. Rules of structure come from the project's domain rules, "People and places"; what a regency may
decide is in `RosterRules`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from types import MappingProxyType

from services.auth.domain.nip import Nip, NipError, NipProblem, parse_nip
from services.auth.domain.person_name import NAME_MAX, clean_name, odd_characters, tidy_text
from services.auth.domain.roster_fields import (
    Cell,
    CellKind,
    EmploymentStatus,
    clean_birth_date,
    clean_npsn,
    clean_nuptk,
    clean_phone,
    clean_sex,
    clean_status,
    is_blank,
)
from services.auth.domain.roster_reasons import Column, Notice, Reason, notice

__all__ = [
    "AcceptedRow",
    "Cell",
    "CellKind",
    "Column",
    "EmploymentStatus",
    "HonoraryRule",
    "Notice",
    "RawRow",
    "Reason",
    "Refusal",
    "RosterRules",
    "SchoolDirectory",
    "StaffNumberKind",
    "clean_row",
    "roles_of",
    "school_directory",
]

_EMPTY = Cell()
# A number of a regency's own must not be mistaken for a NIP (18 digits) or a NUPTK (16).
_OWN_NUMBER = re.compile(r"(?!\d{16}$|\d{18}$)[0-9A-Za-z][0-9A-Za-z./-]{2,23}")
_TEXT_MAX = 100


@unique
class HonoraryRule(StrEnum):
    """What a regency does with honorary teachers, who have no NIP."""

    REFUSE = "refuse"
    BY_NUPTK = "by_nuptk"
    BY_NUPTK_OR_OWN_NUMBER = "by_nuptk_or_own_number"


@dataclass(frozen=True, slots=True)
class RosterRules:
    """A regency's choices for the import.

    Attributes:
        honorary: whether honorary staff are admitted, and by which number. Default: refused.
    """

    honorary: HonoraryRule = HonoraryRule.REFUSE


@dataclass(frozen=True, slots=True)
class SchoolDirectory:
    """The schools that rows may name.

    Attributes:
        names: NPSN to name.
        by_name: folded name to NPSN, only for names that one school alone has.
    """

    names: Mapping[str, str]
    by_name: Mapping[str, str]


def school_directory(schools: Iterable[tuple[str, str]]) -> SchoolDirectory:
    """The directory of (NPSN, name) pairs: the import's own list together with the schools known already."""
    names = dict(schools)
    by_name: dict[str, str | None] = {}
    for npsn, name in names.items():
        folded = _folded(name)
        # A name that two schools share names neither.
        by_name[folded] = None if folded in by_name else npsn
    return SchoolDirectory(names, {name: npsn for name, npsn in by_name.items() if npsn is not None})


def _folded(name: str) -> str:
    return " ".join(re.sub(r"[^\w]+", " ", tidy_text(name).casefold()).split())


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as found.

    Attributes:
        file: the name by which the importer knows the file.
        row: the row's number as the spreadsheet shows it, from 1.
        cells: the wanted columns; a missing one counts as empty.
    """

    file: str
    row: int
    cells: Mapping[Column, Cell] = field(default_factory=lambda: MappingProxyType({}))

    def cell(self, column: Column) -> Cell:
        """The cell of a column, empty if the file has none."""
        return self.cells.get(column, _EMPTY)


@unique
class StaffNumberKind(StrEnum):
    """Which number identifies a person within the regency."""

    NIP = "nip"
    NUPTK = "nuptk"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    """A person of the roster, cleaned.

    Attributes:
        file: as in the raw row.
        row: as in the raw row.
        staff_number: what identifies the person in the regency: normally the NIP; unique within an import.
        staff_number_kind: which number that is.
        nip: eighteen digits, or None for honorary staff.
        nuptk: sixteen digits, or None.
        name: as stored and shown, 1..150 characters.
        status: employment status.
        kind: Dapodik's Jenis PTK, at most 100 characters, may be empty.
        duty: Dapodik's Tugas Tambahan, at most 100 characters, may be empty.
        phone: E.164 (+62...), or None.
        npsn: the school, eight characters.
        roles: sorted; always "teacher", plus "head_teacher" and "school_operator" by kind and duty.
        warnings: what the file's owner should look at.
    """

    file: str
    row: int
    staff_number: str
    staff_number_kind: StaffNumberKind
    nip: str | None
    nuptk: str | None
    name: str
    status: EmploymentStatus
    kind: str
    duty: str
    phone: str | None
    npsn: str
    roles: tuple[str, ...]
    warnings: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is not imported, and why. Mending the named column and importing again is a retry."""

    file: str
    row: int
    notice: Notice


def clean_row(raw: RawRow, schools: SchoolDirectory, rules: RosterRules) -> AcceptedRow | Refusal:
    """Clean and judge one row by itself; duplicates are `judge_row`'s matter. Pure.

    Args:
        raw: the row as found.
        schools: the import's school list together with the regency's known schools.
        rules: the regency's choices.
    """
    try:
        return _clean(raw, schools, rules)
    except _RefusedError as refused:
        return Refusal(raw.file, raw.row, refused.notice)


class _RefusedError(Exception):
    """Leaves the rules at the first ground for refusal; never leaves this module."""

    def __init__(self, found: Notice) -> None:
        super().__init__(found.reason)
        self.notice = found


def _clean(raw: RawRow, schools: SchoolDirectory, rules: RosterRules) -> AcceptedRow:
    warnings: list[Notice] = []
    name = _name(raw, warnings)
    status = _status(raw, warnings)
    nuptk = _nuptk(raw, warnings)
    number, kind, nip = _staff_number(raw, status, nuptk, rules)
    if nip is not None:
        _compare_with_nip(raw, nip, status, warnings)
    npsn = _school(raw, schools, warnings)
    phone = _phone(raw, warnings)
    job, duty = (tidy_text(raw.cell(column).text)[:_TEXT_MAX] for column in (Column.KIND, Column.DUTY))
    return AcceptedRow(
        file=raw.file,
        row=raw.row,
        staff_number=number,
        staff_number_kind=kind,
        nip=nip.digits if nip else None,
        nuptk=nuptk,
        name=name,
        status=status,
        kind=job,
        duty=duty,
        phone=phone,
        npsn=npsn,
        roles=roles_of(job, duty),
        warnings=tuple(warnings),
    )


def roles_of(kind: str, duty: str) -> tuple[str, ...]:
    """The roles that kind and duty give, sorted. An acting head ("Plt.") is a head, a deputy is none."""
    words = {re.sub(r"^plt\.?\s+", "", text.casefold()) for text in (kind, duty)}
    roles = {"teacher"}
    if "kepala sekolah" in words:
        roles.add("head_teacher")
    if words & {"operator sekolah", "operator dapodik"}:
        roles.add("school_operator")
    return tuple(sorted(roles))


def _name(raw: RawRow, warnings: list[Notice]) -> str:
    name = clean_name(raw.cell(Column.NAME).text)
    odd = odd_characters(name)
    if odd:
        raise _RefusedError(notice(Column.NAME, Reason.NAME_CHARACTERS, found=odd[:20]))
    if not any(c.isalpha() for c in name):
        raise _RefusedError(notice(Column.NAME, Reason.NAME_MISSING))
    if len(name) > NAME_MAX:
        raise _RefusedError(notice(Column.NAME, Reason.NAME_TOO_LONG, found=str(len(name))))
    if any(c.isdecimal() for c in name):
        warnings.append(notice(Column.NAME, Reason.NAME_DIGITS))
    return name


def _status(raw: RawRow, warnings: list[Notice]) -> EmploymentStatus:
    text = tidy_text(raw.cell(Column.STATUS).text)
    status = clean_status(text)
    if status is EmploymentStatus.OTHER:
        warnings.append(notice(Column.STATUS, Reason.STATUS_UNKNOWN, found=text[:_TEXT_MAX] or "-"))
    return status


def _nuptk(raw: RawRow, warnings: list[Notice]) -> str | None:
    cell = raw.cell(Column.NUPTK)
    nuptk = clean_nuptk(cell)
    if nuptk is None and not is_blank(cell):
        warnings.append(notice(Column.NUPTK, Reason.NUPTK_INVALID))
    return nuptk


def _staff_number(
    raw: RawRow, status: EmploymentStatus, nuptk: str | None, rules: RosterRules
) -> tuple[str, StaffNumberKind, Nip | None]:
    cell = raw.cell(Column.NIP)
    try:
        nip = _nip(cell, status)
    except NipError as error:
        if status is not EmploymentStatus.HONORARY:
            raise _RefusedError(notice(Column.NIP, Reason(error.problem), found=error.found[:40])) from None
        own = None if is_blank(cell) or cell.kind is CellKind.NUMBER else tidy_text(cell.text)
        return (*_honorary_number(own, nuptk, rules.honorary, error), None)
    return nip.digits, StaffNumberKind.NIP, nip


def _nip(cell: Cell, status: EmploymentStatus) -> Nip:
    if is_blank(cell):
        raise NipError(NipProblem.MISSING, "")
    if cell.kind is CellKind.NUMBER:
        raise NipError(NipProblem.LOST_DIGITS, cell.text)
    return parse_nip(cell.text, month_required=status in {EmploymentStatus.PNS, EmploymentStatus.CPNS})


def _honorary_number(
    own: str | None, nuptk: str | None, rule: HonoraryRule, error: NipError
) -> tuple[str, StaffNumberKind]:
    if rule is HonoraryRule.REFUSE:
        if error.problem is NipProblem.MISSING:
            raise _RefusedError(notice(Column.NIP, Reason.HONORARY_WITHOUT_NIP))
        raise _RefusedError(notice(Column.NIP, Reason(error.problem), found=error.found[:40]))
    if nuptk is not None:
        return nuptk, StaffNumberKind.NUPTK
    if rule is HonoraryRule.BY_NUPTK_OR_OWN_NUMBER and own and _OWN_NUMBER.fullmatch(own):
        return own.upper(), StaffNumberKind.OWN
    raise _RefusedError(notice(Column.NUPTK, Reason.HONORARY_WITHOUT_NUMBER))


def _compare_with_nip(raw: RawRow, nip: Nip, status: EmploymentStatus, warnings: list[Notice]) -> None:
    if status is EmploymentStatus.HONORARY:
        warnings.append(notice(Column.STATUS, Reason.STATUS_HAS_NIP))
    born = clean_birth_date(raw.cell(Column.BIRTH_DATE))
    if born is not None and born != nip.birth_date:
        other = nip.birth_date.isoformat()
        warnings.append(
            notice(Column.BIRTH_DATE, Reason.BIRTH_DATE_DIFFERS, found=born.isoformat(), other=other)
        )
    sex = clean_sex(raw.cell(Column.SEX))
    if sex is not None and sex is not nip.sex:
        warnings.append(notice(Column.SEX, Reason.SEX_DIFFERS, found=sex, other=nip.sex))


def _school(raw: RawRow, schools: SchoolDirectory, warnings: list[Notice]) -> str:
    npsn = clean_npsn(raw.cell(Column.NPSN))
    if not npsn:
        # Only where there is no number: a number that is wrong must not be overruled by a name.
        npsn = schools.by_name.get(_folded(raw.cell(Column.SCHOOL).text), "")
    if not npsn:
        raise _RefusedError(notice(Column.NPSN, Reason.SCHOOL_MISSING))
    if npsn not in schools.names:
        raise _RefusedError(notice(Column.NPSN, Reason.SCHOOL_UNKNOWN, found=npsn[:20]))
    if not npsn.isdecimal():
        warnings.append(notice(Column.NPSN, Reason.NPSN_LETTERS, found=npsn[:20]))
    return npsn


def _phone(raw: RawRow, warnings: list[Notice]) -> str | None:
    cell = raw.cell(Column.PHONE)
    phone = clean_phone(cell)
    if phone is None and not is_blank(cell):
        warnings.append(notice(Column.PHONE, Reason.PHONE_INVALID))
    return phone
