"""The list of schools: one wrong line refuses it, and all wrong lines are told."""

from pathlib import Path

import pytest

from ops.roster.problems import RosterFileError
from ops.roster.schools import COLUMNS, read_schools
from ops.roster.tables import Limits

PRAYA = dict(
    zip(
        COLUMNS,
        ("50203000", "SD NEGERI 1 PRAYA", "SD", "52.02.01", "Praya", "-8.71557", "116.249051", "75", "5"),
        strict=True,
    )
)


def write(path: Path, *lines: dict[str, str]) -> Path:
    rows = [",".join(COLUMNS), *(",".join(f'"{line[column]}"' for column in COLUMNS) for line in lines)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_school_is_read(tmp_path: Path) -> None:
    (school,) = read_schools(write(tmp_path / "s.csv", PRAYA), limits=Limits())
    assert (school.npsn, school.name, school.level) == ("50203000", "SD NEGERI 1 PRAYA", "SD")
    assert (school.district_code, school.district) == ("52.02.01", "Praya")
    assert (school.latitude, school.longitude, school.fence_radius_m) == (-8.71557, 116.249051, 75)
    assert school.week_days == 5


def test_a_decimal_comma_is_a_decimal_point(tmp_path: Path) -> None:
    (school,) = read_schools(write(tmp_path / "s.csv", PRAYA | {"latitude": "-8,71557"}), limits=Limits())
    assert school.latitude == -8.71557


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("npsn", "5020300"),
        ("npsn", "5020300٣"),
        ("name", ""),
        ("name", "x" * 201),
        ("level", "x" * 33),
        ("district_code", "5202.01"),
        ("latitude", "116.249051"),
        ("latitude", "nan"),
        ("longitude", ""),
        ("longitude", "inf"),
        ("fence_radius_m", "0"),
        ("fence_radius_m", "50000"),
        ("week_days", "7"),
        ("week_days", "5.5"),
    ],
)
def test_a_wrong_line_refuses_the_file_and_is_named(tmp_path: Path, column: str, value: str) -> None:
    path = write(tmp_path / "s.csv", PRAYA, PRAYA | {"npsn": "50203001", column: value})
    with pytest.raises(RosterFileError) as caught:
        read_schools(path, limits=Limits())
    assert caught.value.problem.code == "BAD_SCHOOLS"
    assert "baris 3" in caught.value.problem.message_id


def test_a_number_listed_twice(tmp_path: Path) -> None:
    with pytest.raises(RosterFileError, match="50203000 is listed twice"):
        read_schools(write(tmp_path / "s.csv", PRAYA, PRAYA), limits=Limits())


def test_many_wrong_lines_are_counted(tmp_path: Path) -> None:
    lines = [PRAYA | {"npsn": str(number)} for number in range(14)]
    with pytest.raises(RosterFileError, match="and 4 more"):
        read_schools(write(tmp_path / "s.csv", *lines), limits=Limits())


@pytest.mark.parametrize(
    ("content", "code"), [("npsn,name\n1,2\n", "WRONG_SCHOOLS_HEADER"), (",".join(COLUMNS), "NO_ROWS")]
)
def test_no_list_of_schools(tmp_path: Path, content: str, code: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RosterFileError) as caught:
        read_schools(path, limits=Limits())
    assert caught.value.problem.code == code
