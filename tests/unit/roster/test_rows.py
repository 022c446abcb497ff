"""One row, and rows together: what is accepted, cleaned, refused, and in which words."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.roster import (
    AcceptedRow,
    Cell,
    CellKind,
    Column,
    EmploymentStatus,
    HonoraryRule,
    RawRow,
    Reason,
    Refusal,
    RosterRules,
    StaffNumberKind,
    clean_row,
    roles_of,
    school_directory,
)
from services.auth.domain.roster_duplicates import Seen, judge_row
from services.auth.domain.roster_fields import clean_birth_date, clean_npsn, clean_phone, clean_status

SCHOOLS = school_directory(
    [
        ("50203000", "SD NEGERI 1 PRAYA"),
        ("P9998877", "MI Al-Ikhlas"),
        ("50203001", "Kembar"),
        ("50203002", "KEMBAR"),
    ]
)
GOOD = {
    Column.NAME: "Siti Aminah, S.Pd",
    Column.NIP: "198001012006042001",
    Column.NUPTK: "1234567890123456",
    Column.STATUS: "PNS",
    Column.KIND: "Guru Kelas",
    Column.PHONE: "081234567890",
    Column.NPSN: "50203000",
    Column.SEX: "P",
    Column.BIRTH_DATE: "1980-01-01",
}
HONORARY = {Column.STATUS: "Guru Honor Sekolah", Column.NIP: ""}


def raw(
    row: int = 6,
    *,
    numbers: tuple[Column, ...] = (),
    file: str = "a.xlsx",
    change: Mapping[str, str] = MappingProxyType({}),
    **changes: str,
) -> RawRow:
    texts = GOOD | {Column[name.upper()]: text for name, text in {**change, **changes}.items()}
    return RawRow(
        file,
        row,
        {
            column: Cell(text, CellKind.NUMBER if column in numbers else CellKind.TEXT) if text else Cell()
            for column, text in texts.items()
        },
    )


def accepted(row: RawRow, rules: RosterRules | None = None) -> AcceptedRow:
    result = clean_row(row, SCHOOLS, rules or RosterRules())
    assert isinstance(result, AcceptedRow), result
    return result


def refused(row: RawRow, rules: RosterRules | None = None) -> Refusal:
    result = clean_row(row, SCHOOLS, rules or RosterRules())
    assert isinstance(result, Refusal), result
    return result


def test_a_sound_row_comes_out_whole() -> None:
    assert accepted(raw()) == AcceptedRow(
        file="a.xlsx",
        row=6,
        staff_number="198001012006042001",
        staff_number_kind=StaffNumberKind.NIP,
        nip="198001012006042001",
        nuptk="1234567890123456",
        name="Siti Aminah, S.Pd",
        status=EmploymentStatus.PNS,
        kind="Guru Kelas",
        duty="",
        phone="+6281234567890",
        npsn="50203000",
        roles=("teacher",),
        warnings=(),
    )


def test_an_untidy_row_is_the_same_person() -> None:
    untidy = raw(
        name="  SITI AMINAH, S.PD ", nip="'19800101 200604 2 001", npsn=" 50203000.0", status=" pns "
    )
    assert accepted(untidy) == accepted(raw())


@pytest.mark.parametrize(
    ("change", "numbers", "column", "reason"),
    [
        ({"name": ""}, (), Column.NAME, Reason.NAME_MISSING),
        ({"name": "-"}, (), Column.NAME, Reason.NAME_MISSING),
        ({"name": "=HYPERLINK(1)"}, (), Column.NAME, Reason.NAME_CHARACTERS),
        ({"name": "a" * 151}, (), Column.NAME, Reason.NAME_TOO_LONG),
        ({"nip": ""}, (), Column.NIP, Reason.NIP_MISSING),
        ({"nip": "-"}, (), Column.NIP, Reason.NIP_MISSING),
        ({"nip": "198001012006041000"}, (Column.NIP,), Column.NIP, Reason.NIP_LOST_DIGITS),
        ({"nip": "1.98001012006041e+17"}, (), Column.NIP, Reason.NIP_LOST_DIGITS),
        ({"nip": "40371777104624608"}, (), Column.NIP, Reason.NIP_LENGTH),
        ({"nip": "19800101O006041001"}, (), Column.NIP, Reason.NIP_LETTERS),
        ({"nip": "198013452006041001"}, (), Column.NIP, Reason.NIP_BIRTH_DATE),
        ({"nip": "198001012024212001"}, (), Column.NIP, Reason.NIP_APPOINTMENT),
        ({"nip": "198001012006045001"}, (), Column.NIP, Reason.NIP_SEX),
        ({"status": "Guru Honor Sekolah", "nip": ""}, (), Column.NIP, Reason.HONORARY_WITHOUT_NIP),
        ({"npsn": ""}, (), Column.NPSN, Reason.SCHOOL_MISSING),
        ({"npsn": "99999999"}, (), Column.NPSN, Reason.SCHOOL_UNKNOWN),
    ],
)
def test_refused_with_column_reason_and_what_to_do(
    change: dict[str, str], numbers: tuple[Column, ...], column: Column, reason: Reason
) -> None:
    refusal = refused(raw(numbers=numbers, change=change))
    notice = refusal.notice
    assert (refusal.row, notice.column, notice.reason) == (6, column, reason)
    assert all((notice.message_id, notice.message_en, notice.what_to_do_id, notice.what_to_do_en))
    assert "{" not in notice.message_id + notice.what_to_do_id


@pytest.mark.parametrize(
    ("change", "numbers", "reason"),
    [
        ({"nuptk": "123"}, (), Reason.NUPTK_INVALID),
        ({"nuptk": "1234567890123456"}, (Column.NUPTK,), Reason.NUPTK_INVALID),
        ({"phone": "tidak hafal"}, (), Reason.PHONE_INVALID),
        ({"npsn": "p9998877"}, (), Reason.NPSN_LETTERS),
        ({"status": "Menteri"}, (), Reason.STATUS_UNKNOWN),
        ({"status": "Honor Daerah TK.II"}, (), Reason.STATUS_HAS_NIP),
        ({"sex": "L"}, (), Reason.SEX_DIFFERS),
        ({"birth_date": "02/01/1980"}, (), Reason.BIRTH_DATE_DIFFERS),
        ({"name": "Siti Aminah 2"}, (), Reason.NAME_DIGITS),
    ],
)
def test_accepted_with_a_warning(change: dict[str, str], numbers: tuple[Column, ...], reason: Reason) -> None:
    assert [warning.reason for warning in accepted(raw(numbers=numbers, change=change)).warnings] == [reason]


def test_honorary_staff_by_the_regencys_choice() -> None:
    by_nuptk = RosterRules(honorary=HonoraryRule.BY_NUPTK)
    by_own = RosterRules(honorary=HonoraryRule.BY_NUPTK_OR_OWN_NUMBER)
    honorary = raw(status="GTT", nip="")
    assert accepted(honorary, by_nuptk).staff_number == "1234567890123456"
    numbered = raw(status="GTT", nip="loteng-0042", nuptk="")
    assert accepted(numbered, by_own).staff_number == "LOTENG-0042"
    assert accepted(numbered, by_own).nip is None
    for row, rules in [(numbered, by_nuptk), (raw(status="GTT", nip="", nuptk=""), by_own)]:
        assert refused(row, rules).notice.reason is Reason.HONORARY_WITHOUT_NUMBER
    assert refused(numbered).notice.reason is Reason.NIP_LETTERS


def test_a_school_without_number_is_found_by_a_name_that_is_its_own() -> None:
    assert accepted(raw(npsn="", school="sd  negeri 1, Praya")).npsn == "50203000"
    assert refused(raw(npsn="", school="Kembar")).notice.reason is Reason.SCHOOL_MISSING
    assert refused(raw(npsn="99999999", school="SD NEGERI 1 PRAYA")).notice.reason is Reason.SCHOOL_UNKNOWN


def test_the_second_row_with_a_nip_is_refused_and_names_the_first() -> None:
    seen = Seen()
    first = judge_row(raw(row=6), SCHOOLS, RosterRules(), seen)
    second = judge_row(raw(row=9, name="Budi"), SCHOOLS, RosterRules(), seen)
    third = judge_row(raw(row=2, file="b.xlsx"), SCHOOLS, RosterRules(), seen)
    assert isinstance(first, AcceptedRow)
    assert isinstance(second, Refusal)
    assert second.notice.reason is Reason.NIP_DUPLICATE
    assert "baris 6, Siti Aminah, S.Pd" in second.notice.message_id
    assert "row 6, Siti Aminah, S.Pd" in second.notice.message_en
    assert isinstance(third, Refusal)
    assert third.notice.reason is Reason.PERSON_REPEATED
    assert "a.xlsx baris 6" in third.notice.message_id


def test_a_refused_row_claims_no_number() -> None:
    seen = Seen()
    assert isinstance(judge_row(raw(row=6, npsn="99999999"), SCHOOLS, RosterRules(), seen), Refusal)
    assert isinstance(judge_row(raw(row=7), SCHOOLS, RosterRules(), seen), AcceptedRow)


def test_the_likely_rightful_owner_of_a_nip_is_pointed_out() -> None:
    seen = Seen()
    judge_row(raw(row=6, name="Budi", birth_date="1975-05-05"), SCHOOLS, RosterRules(), seen)
    second = judge_row(raw(row=9), SCHOOLS, RosterRules(), seen)
    assert isinstance(second, Refusal)
    assert "Periksa dulu baris 6" in second.notice.what_to_do_id
    assert "Check row 6 first" in second.notice.what_to_do_en


def test_a_taken_nuptk_is_dropped_not_refused() -> None:
    seen = Seen()
    judge_row(raw(row=6), SCHOOLS, RosterRules(), seen)
    second = judge_row(raw(row=7, nip="198001012006042002"), SCHOOLS, RosterRules(), seen)
    assert isinstance(second, AcceptedRow)
    assert second.nuptk is None
    assert [warning.reason for warning in second.warnings] == [Reason.NUPTK_DUPLICATE]


@pytest.mark.parametrize(
    ("kind", "duty", "roles"),
    [
        ("Guru Kelas", "", ("teacher",)),
        ("Kepala Sekolah", "", ("head_teacher", "teacher")),
        ("Guru Mapel", "Plt. Kepala Sekolah", ("head_teacher", "teacher")),
        ("Guru Mapel", "Wakil Kepala Sekolah", ("teacher",)),
        ("Tenaga Administrasi Sekolah", "Operator Sekolah", ("school_operator", "teacher")),
    ],
)
def test_roles(kind: str, duty: str, roles: tuple[str, ...]) -> None:
    assert roles_of(kind, duty) == roles


@pytest.mark.parametrize(
    ("found", "clean"),
    [
        ("081234567890", "+6281234567890"),
        ("0812-3456-7890", "+6281234567890"),
        ("+62 812 3456 7890", "+6281234567890"),
        ("(+62) 0812 3456 7890", "+6281234567890"),
        ("6281234567890", "+6281234567890"),
        ("81234567890", "+6281234567890"),
        ("081234567890 / 087812345678", "+6281234567890"),
        ("0370-123456; 0812 3456 7890", "+6281234567890"),
        ("0370 123456", None),
        ("0812", None),
        ("-", None),
    ],
)
def test_phones(found: str, clean: str | None) -> None:
    assert clean_phone(Cell(found, CellKind.TEXT)) == clean


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("PNS", EmploymentStatus.PNS),
        ("PNS Diperbantukan", EmploymentStatus.PNS),
        ("CPNS", EmploymentStatus.CPNS),
        ("P3K", EmploymentStatus.PPPK),
        ("PPPK Paruh Waktu", EmploymentStatus.PPPK),
        ("GTY/PTY", EmploymentStatus.HONORARY),
        ("Tenaga Honor Sekolah", EmploymentStatus.HONORARY),
        ("", EmploymentStatus.OTHER),
    ],
)
def test_statuses(text: str, status: EmploymentStatus) -> None:
    assert clean_status(text) is status


@given(st.dictionaries(st.sampled_from(Column), st.text(max_size=30)), st.sampled_from(HonoraryRule))
def test_any_row_is_accepted_or_refused_and_cleaning_is_stable(
    texts: dict[Column, str], honorary: HonoraryRule
) -> None:
    cells = {column: Cell(text, CellKind.TEXT) for column, text in (GOOD | texts).items()}
    rules = RosterRules(honorary=honorary)
    result = clean_row(RawRow("f", 1, cells), SCHOOLS, rules)
    clean_birth_date(cells[Column.BIRTH_DATE])
    if isinstance(result, AcceptedRow):
        again = {
            Column.NAME: result.name,
            Column.NIP: result.nip or result.staff_number,
            Column.NUPTK: result.nuptk or "",
            Column.STATUS: texts.get(Column.STATUS, "PNS"),
            Column.KIND: result.kind,
            Column.DUTY: result.duty,
            Column.PHONE: result.phone or "",
            Column.NPSN: result.npsn,
        }
        second = clean_row(
            RawRow("f", 1, {column: Cell(text, CellKind.TEXT) for column, text in again.items()}),
            SCHOOLS,
            rules,
        )
        assert isinstance(second, AcceptedRow)
        assert dataclasses.replace(second, warnings=()) == dataclasses.replace(result, warnings=())
        assert clean_npsn(Cell(result.npsn, CellKind.TEXT)) == result.npsn
