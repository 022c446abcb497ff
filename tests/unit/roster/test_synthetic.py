"""A made-up regency is the same each time, and looks like a real export."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from ops.roster.files import read_roster
from ops.roster.schools import read_schools
from ops.roster.synthetic import HEADER, Regency, write_regency
from ops.roster.tables import Limits


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_regency(Regency(people=200), tmp_path / "a")]
    again = [path.read_bytes() for path in write_regency(Regency(people=200), tmp_path / "b")]
    other = [path.read_bytes() for path in write_regency(Regency(people=200, seed=1), tmp_path / "c")]
    assert first == again
    assert first[0] != other[0]


def test_the_layout_is_dapodiks(tmp_path: Path) -> None:
    roster, schools_file = write_regency(Regency(people=660), tmp_path)
    with roster.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert (len(lines[4]), tuple(lines[4])) == (53, HEADER)
    schools = read_schools(schools_file, limits=Limits())
    assert len(schools) == 60
    assert {school.district_code for school in schools} == {f"52.02.{number:02}" for number in range(1, 13)}
    assert {school.week_days for school in schools} == {5, 6}
    (source,) = read_roster(roster, limits=Limits())
    heads = Counter(
        row.texts["npsn"] for row in source.rows if row.texts.get("extra_duty") == "Kepala Sekolah"
    )
    assert heads == {school.npsn: 1 for school in schools}


@pytest.mark.parametrize("people", [1, 2, 11, 12, 40])
def test_any_size_has_that_many_people(tmp_path: Path, people: int) -> None:
    roster, schools_file = write_regency(Regency(people=people), tmp_path)
    (source,) = read_roster(roster, limits=Limits())
    assert len(source.rows) == people
    assert {row.texts["npsn"] for row in source.rows} == {
        school.npsn for school in read_schools(schools_file, limits=Limits())
    }
