"""Reading the list of schools: NPSN, name, district, fence, working days. Owner: ops/roster.

The columns are `npsn,name,level,district_code,district,latitude,longitude,fence_radius_m,week_days`; the agency
prepares this file itself, so one wrong line refuses all of it: a wrong fence would flag a whole school.
"""

import math
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hadir.auth.v1 import people_pb2
from ops.roster import problems
from ops.roster.files import open_tables
from ops.roster.problems import RosterFileError
from ops.roster.tables import EMPTY, Limits, Table

COLUMNS = (
    "npsn", "name", "level", "district_code", "district", "latitude", "longitude", "fence_radius_m", "week_days",
)  # fmt: skip
# Indonesia from Sabang to Merauke with a margin; a fence outside of it has swapped or mistyped coordinates.
_LATITUDES = (-11.5, 6.5)
_LONGITUDES = (94.5, 141.5)
_RADIUS_M = (10.0, 5000.0)
_Finding = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    texts: dict[str, str]


def read_schools(path: Path, *, limits: Limits) -> tuple[people_pb2.School, ...]:
    """All schools of a CSV file.

    Raises:
        RosterFileError: the file cannot be read, lacks a column, or has wrong lines (all of them are told).
    """
    schools: dict[str, people_pb2.School] = {}
    findings: list[_Finding] = []
    for line in _lines(path, limits):
        try:
            school = _school(line.texts)
        except ValueError as error:
            words_id, words_en = error.args
            findings.append((line.number, words_id, words_en))
            continue
        if school.npsn in schools:
            findings.append(
                (line.number, f"NPSN {school.npsn} sudah ada", f"NPSN {school.npsn} is listed twice")
            )
        schools[school.npsn] = school
    if findings:
        raise RosterFileError(path.name, problems.bad_schools(tuple(findings)))
    if not schools:
        raise RosterFileError(path.name, problems.no_rows())
    return tuple(schools.values())


def _lines(path: Path, limits: Limits) -> Iterator[_Line]:
    with closing(open_tables(path, limits, csv_only=True)) as tables:
        for table in tables:
            yield from _table_lines(path.name, table)
            return


def _table_lines(file: str, table: Table) -> Iterator[_Line]:
    header = next(table.rows, None)
    if header is None:
        raise RosterFileError(file, problems.no_rows())
    places = {cell.text.strip().casefold(): index for index, cell in enumerate(header[1])}
    missing = tuple(column for column in COLUMNS if column not in places)
    if missing:
        raise RosterFileError(file, problems.wrong_schools_header(missing))
    for number, cells in table.rows:
        at = {name: (cells[places[name]] if places[name] < len(cells) else EMPTY) for name in COLUMNS}
        texts = {name: " ".join(cell.text.split()) for name, cell in at.items()}
        if any(texts.values()):
            yield _Line(number, texts)


def _school(texts: dict[str, str]) -> people_pb2.School:
    """The school of a line; raises ValueError(Bahasa Indonesia, English)."""
    npsn = texts["npsn"].upper()
    _require(
        bool(re.fullmatch(r"[0-9A-Z]{8}", npsn)), "NPSN harus 8 karakter", "the NPSN must have 8 characters"
    )
    _require(
        0 < len(texts["name"]) <= 200, "nama sekolah kosong atau terlalu panjang", "no name, or too long"
    )
    _require(len(texts["level"]) <= 32, "jenjang terlalu panjang", "the level is too long")
    district = texts["district_code"]
    _require(
        bool(re.fullmatch(r"\d{2}\.\d{2}\.\d{2}", district, re.ASCII)) and len(texts["district"]) <= 120,
        "kode kecamatan harus seperti 52.02.01",
        "the district code must be like 52.02.01",
    )
    latitude, longitude, radius, days = (
        _number(texts[name]) for name in ("latitude", "longitude", "fence_radius_m", "week_days")
    )
    _require(
        _LATITUDES[0] <= latitude <= _LATITUDES[1] and _LONGITUDES[0] <= longitude <= _LONGITUDES[1],
        "koordinat di luar Indonesia (lintang dan bujur tertukar?)",
        "coordinates outside Indonesia (latitude and longitude swapped?)",
    )
    _require(
        _RADIUS_M[0] <= radius <= _RADIUS_M[1], "radius pagar harus 10-5000 m", "the radius must be 10-5000 m"
    )
    _require(days in {5, 6}, "hari kerja harus 5 atau 6", "working days must be 5 or 6")
    return people_pb2.School(
        npsn=npsn,
        name=texts["name"],
        level=texts["level"],
        district_code=district,
        district=texts["district"],
        latitude=latitude,
        longitude=longitude,
        fence_radius_m=radius,
        week_days=int(days),
    )


def _require(holds: bool, words_id: str, words_en: str) -> None:
    if not holds:
        raise ValueError(words_id, words_en)


def _number(text: str) -> float:
    """A number, also with the decimal comma that an Indonesian spreadsheet writes; NaN if it is none."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
