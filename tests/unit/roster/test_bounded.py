"""Reading in a bounded child: the same rows, the same refusals, and an end to what costs too much."""

from pathlib import Path

import pytest

from ops.roster.bounded import read_rosters
from ops.roster.files import read_roster
from ops.roster.problems import RosterFileError
from ops.roster.tables import MIB, Limits
from tests.unit.roster.workbooks import SITI, rewrite, save_book

SHEET = "xl/worksheets/sheet1.xml"


def test_the_child_reads_what_the_parent_would(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI] * 1200)
    told: list[int] = []
    sources = read_rosters([path], limits=Limits(), on_rows=told.append)
    assert sources == read_roster(path, limits=Limits())
    assert told == [500, 500]


def test_a_refusal_comes_through_whole(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [(*SITI[:3], "=A1", *SITI[4:])])
    with pytest.raises(RosterFileError) as direct:
        read_roster(path, limits=Limits())
    with pytest.raises(RosterFileError) as bounded:
        read_rosters([path], limits=Limits())
    assert bounded.value.problem == direct.value.problem
    assert bounded.value.file == "a.xlsx"


@pytest.mark.parametrize("bloat", [b"<a/>" * 3_000_000, b"<a>" * 1_500_000 + b"</a>" * 1_500_000])
def test_a_sheet_that_needs_too_much_memory_is_refused(tmp_path: Path, bloat: bytes) -> None:
    row = b'<row r="7">' + bloat + b"</row></sheetData>"
    path = rewrite(save_book(tmp_path / "a.xlsx", [SITI]), SHEET, b"</sheetData>", row)
    with pytest.raises(RosterFileError) as caught:
        read_rosters([path], limits=Limits(ratio=10**6, memory_bytes=192 * MIB))
    assert caught.value.problem.code == "FILE_UNPACKS_TOO_LARGE"


def test_a_sheet_that_needs_too_much_time_is_refused(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI] * 30_000)
    with pytest.raises(RosterFileError) as caught:
        read_rosters([path], limits=Limits(seconds=1))
    assert caught.value.problem.code == "FILE_UNPACKS_TOO_LARGE"


def test_many_files_are_read_by_one_child_up_to_the_first_bad_one(tmp_path: Path) -> None:
    paths = [save_book(tmp_path / f"{number}.xlsx", [SITI]) for number in range(5)]
    assert [source.label for source in read_rosters(paths, limits=Limits())] == [path.name for path in paths]
    paths[3].write_bytes(b"%PDF")
    with pytest.raises(RosterFileError) as caught:
        read_rosters(paths, limits=Limits())
    assert (caught.value.file, caught.value.problem.code) == ("3.xlsx", "NOT_A_ROSTER")
