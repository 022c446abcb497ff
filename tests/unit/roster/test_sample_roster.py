"""The sample roster beside the repository, where there is one: the exact counts, and its irregularities by reason."""

from collections import Counter
from pathlib import Path

import pytest

from ops.roster.commands import read_all
from ops.roster.files import read_roster
from ops.roster.tables import Limits
from services.auth.domain.roster import (
    AcceptedRow,
    Cell,
    CellKind,
    Column,
    RawRow,
    Reason,
    Refusal,
    RosterRules,
    school_directory,
)
from services.auth.domain.roster_duplicates import Seen, judge_row

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "roster"
FIELDS = {
    Column.NAME: "name",
    Column.NIP: "nip",
    Column.NUPTK: "nuptk",
    Column.SEX: "sex",
    Column.BIRTH_DATE: "birth_date",
    Column.STATUS: "employment_status",
    Column.KIND: "staff_kind",
    Column.DUTY: "extra_duty",
    Column.PHONE: "phone",
    Column.NPSN: "npsn",
}

pytestmark = pytest.mark.skipif(
    not SAMPLE.is_dir(),
    reason="no sample roster beside the repository (../shared/data/roster): not part of it",
)


def test_the_sample_regency_row_by_row() -> None:
    (source,), schools = read_all([SAMPLE / "regency.xlsx"], SAMPLE / "schools.csv", limits=Limits())
    expected = dict(line.split() for line in (SAMPLE / "expected.txt").read_text().splitlines()[:2])
    directory = school_directory((school.npsn, school.name) for school in schools)
    seen = Seen()
    judged = []
    for row in source.rows:
        cells = {
            column: Cell(
                row.texts[name], CellKind.NUMBER if name == "nip" and row.nip_is_number else CellKind.TEXT
            )
            for column, name in FIELDS.items()
            if name in row.texts
        }
        judged.append(judge_row(RawRow(source.label, row.number, cells), directory, RosterRules(), seen))
    accepted = [row for row in judged if isinstance(row, AcceptedRow)]
    refused = [row for row in judged if isinstance(row, Refusal)]
    assert (
        (len(accepted), len(refused)) == (int(expected["accepted"]), int(expected["refused"])) == (6505, 29)
    )
    assert Counter(row.notice.reason for row in refused) == {
        Reason.HONORARY_WITHOUT_NIP: 6,
        Reason.NIP_LENGTH: 4,
        Reason.NIP_DUPLICATE: 4,
        Reason.NIP_LOST_DIGITS: 3,
        Reason.NIP_LETTERS: 3,
        Reason.NIP_BIRTH_DATE: 3,
        Reason.NAME_MISSING: 3,
        Reason.SCHOOL_UNKNOWN: 3,
    }
    names = {row.row: row.name for row in accepted}
    assert (names[844], names[2563]) == ("Aurora Nashiruddin", "Kenzie Ramadan, S.IP")
    suspects = {row.row for row in accepted if Reason.BIRTH_DATE_DIFFERS in {w.reason for w in row.warnings}}
    assert suspects == {643, 1649, 2984}
    assert all(not row.warnings for row in accepted if row.row not in suspects)


def test_the_sample_schools_own_file() -> None:
    (source,) = read_roster(SAMPLE / "school-50203000.xlsx", limits=Limits())
    assert {row.texts["npsn"] for row in source.rows} == {"50203000"}
    assert len(source.rows) == 11
