"""Roster files: what is read of them, and which are refused before anything is sent."""

import zipfile
from pathlib import Path

import openpyxl
import pytest

from ops.roster.files import read_roster
from ops.roster.layout import SourceRow
from ops.roster.problems import RosterFileError
from ops.roster.tables import Limits
from tests.unit.roster.workbooks import HEADER, SITI, TITLES, rewrite, save_book

SHEET = "xl/worksheets/sheet1.xml"
LIMITS = Limits()


def read(path: Path, limits: Limits = LIMITS) -> tuple[SourceRow, ...]:
    (source,) = read_roster(path, limits=limits)
    assert source.label == path.name
    return source.rows


def problem(path: Path, limits: Limits = LIMITS) -> str:
    with pytest.raises(RosterFileError) as caught:
        read_roster(path, limits=limits)
    found = caught.value.problem
    assert caught.value.file == path.name
    assert all((found.message_id, found.message_en, found.what_to_do_id, found.what_to_do_en))
    return found.code


def test_only_the_wanted_columns_leave_the_reader(tmp_path: Path) -> None:
    assert read(save_book(tmp_path / "a.xlsx", [SITI])) == (
        SourceRow(
            number=6,
            texts={
                "name": "Siti Aminah",
                "nuptk": "1234567890123456",
                "nip": "198001012006042001",
                "employment_status": "PNS",
                "staff_kind": "Guru Kelas",
                "phone": "081234567890",
                "npsn": "50203000",
            },
            nip_is_number=False,
        ),
    )


def test_row_numbers_are_the_spreadsheets_with_blank_rows_between(tmp_path: Path) -> None:
    rows = [SITI, [None] * 11, SITI]
    assert [row.number for row in read(save_book(tmp_path / "a.xlsx", rows))] == [6, 8]


def test_numbers_keep_the_digits_that_a_spreadsheet_keeps(tmp_path: Path) -> None:
    row = (1, "Siti", 2.345e15, 1.98001012006041e17, "PNS", None, None, 81234567890, None, None, 50203000.0)
    (found,) = read(save_book(tmp_path / "a.xlsx", [row]))
    assert found.nip_is_number
    assert found.texts["nip"] == "1.98001012006041e+17"
    assert found.texts["nuptk"] == "2.345e+15"
    assert found.texts["phone"] == "81234567890"
    assert found.texts["npsn"] == "50203000"


def test_a_schools_own_file_names_its_school_in_a_title_row(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI[:-1]], header=HEADER[:-1])
    assert read(path)[0].texts["npsn"] == "50203000"
    assert problem(save_book(path, [SITI[:-1]], header=HEADER[:-1], titles=TITLES[:2])) == "NO_SCHOOL"


def test_a_dimension_that_lies_hides_nothing(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI, SITI])
    rewrite(path, SHEET, b'<dimension ref="A1:K7"', b'<dimension ref="A1:B6"')
    assert len(read(path)) == 2


def test_sheets_with_a_roster_are_all_read_hidden_ones_are_not(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI])
    book = openpyxl.load_workbook(path)
    book["Sheet"].title = "Guru"
    book.copy_worksheet(book["Guru"]).title = "Tendik"
    book.copy_worksheet(book["Guru"]).title = "Lama"
    book["Lama"].sheet_state = "hidden"
    book.create_sheet("Catatan").append(["tidak ada apa-apa"])
    book.save(path)
    assert [source.label for source in read_roster(path, limits=LIMITS)] == [
        "a.xlsx [Guru]",
        "a.xlsx [Tendik]",
    ]


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8-sig"), (";", "cp1252"), ("\t", "utf-16")])
def test_csv_is_read_as_excel_writes_it(tmp_path: Path, separator: str, encoding: str) -> None:
    siti = [str(value or "") for value in SITI]
    siti[1], siti[3] = "Siti Améliä", '="198001012006042001"'
    lines = [*TITLES[:2], separator.join(HEADER), separator.join(siti), ""]
    path = tmp_path / "a.csv"
    path.write_bytes("\r\n".join(lines).encode(encoding))
    (row,) = read(path)
    assert (row.number, row.texts["name"], row.texts["nip"]) == (4, "Siti Améliä", "198001012006042001")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.xlsx", b"", "FILE_DAMAGED"),
        ("a.xlsx", b"%PDF-1.7 ...", "NOT_A_ROSTER"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "NOT_A_ROSTER"),
        ("a.xls", b"<html><table><tr><td>Nama</td></tr></table>", "NOT_A_ROSTER"),
        ("a.xlsx", b"PK\x03\x04 then nothing", "FILE_DAMAGED"),
        ("a.csv", b"Nama,NIP\0,Status Kepegawaian\n", "NOT_A_ROSTER"),
        ("a.csv", b"tanggal,suhu\n2023-07-14,31\n", "WRONG_HEADER"),
        ("a.csv", b"Nama,NIP,NPSN\nSiti,198001012006042001,50203000\n", "WRONG_HEADER"),
        ("a.csv", b"Nama,NIP,Status Kepegawaian,NPSN\n", "NO_ROWS"),
        ("a.csv", b'Nama,NIP,Status Kepegawaian,NPSN\n"Siti,1,PNS,5\n', "FILE_DAMAGED"),
        ("a.csv", b"Nama,NIP,Status Kepegawaian,NPSN\nSiti,19800101200", "FILE_DAMAGED"),
        ("a.csv", b"Nama,NIP,Status Kepegawaian,NPSN\nSiti,=1+1,PNS,50203000\n", "FORMULA"),
        ("a.csv", b'Nama,NIP,Status Kepegawaian,NPSN\nSiti,"=HYPERLINK(""http://x"")",PNS,5\n', "FORMULA"),
        ("a.csv", b"\xff\xfeN\0a", "FILE_DAMAGED"),
    ],
)
def test_what_is_no_roster_is_said_to_be_none(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert problem(path) == code


def test_missing_and_oversized_files(tmp_path: Path) -> None:
    assert problem(tmp_path / "none.xlsx") == "FILE_UNREADABLE"
    assert problem(tmp_path) == "FILE_UNREADABLE"
    sparse = tmp_path / "a.xlsx"
    with sparse.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(100 << 20)
    assert problem(sparse) == "FILE_TOO_LARGE"


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95, 0.999])
def test_a_file_cut_short_is_damaged(tmp_path: Path, kept: float) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI] * 50)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert problem(path) == "FILE_DAMAGED"


def test_a_sheet_cut_short_inside_a_sound_zip_is_damaged(tmp_path: Path) -> None:
    path = rewrite(save_book(tmp_path / "a.xlsx", [SITI]), SHEET, b"</sheetData>", b"")
    assert problem(path) == "FILE_DAMAGED"


def test_a_flipped_byte_is_damaged(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI] * 50)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(SHEET)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 200] ^= 0xFF
    path.write_bytes(content)
    assert problem(path) == "FILE_DAMAGED"


@pytest.mark.parametrize("cell", ["=A1", '=HYPERLINK("http://example.org")'])
@pytest.mark.parametrize("column", [1, 3, 9])
def test_a_formula_anywhere_refuses_the_file_and_names_the_cell(
    tmp_path: Path, cell: str, column: int
) -> None:
    row = list(SITI)
    row[column] = cell
    path = save_book(tmp_path / "a.xlsx", [SITI, row])
    with pytest.raises(RosterFileError) as caught:
        read_roster(path, limits=LIMITS)
    assert caught.value.problem.code == "FORMULA"
    assert f"{'ABCDEFGHIJK'[column]}7" in caught.value.problem.message_id


def test_a_text_that_looks_like_a_formula_is_a_text(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI])
    book = openpyxl.load_workbook(path)
    sheet = book.active
    assert sheet is not None
    sheet["B6"].value = "=Siti"
    sheet["B6"].data_type = "s"
    book.save(path)
    assert read(path)[0].texts["name"] == "=Siti"


ENTITIES = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 10) for c in range(ord("b"), ord("k")))
    + b"]>"
)


@pytest.mark.parametrize(
    ("part", "before"),
    [
        (SHEET, b"<worksheet"),
        ("xl/workbook.xml", b"<workbook"),
        ("xl/styles.xml", b"<styleSheet"),
        ("[Content_Types].xml", b"<Types"),
    ],
)
def test_an_xml_bomb_is_refused_unexploded(tmp_path: Path, part: str, before: bytes) -> None:
    path = rewrite(save_book(tmp_path / "a.xlsx", [SITI]), part, before, ENTITIES + before)
    assert problem(path) == "FORBIDDEN_XML"


def test_an_xml_bomb_among_the_shared_texts_is_refused(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI])
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    declared = b'<Override PartName="/xl/sharedStrings.xml" ContentType="' + kind + b'"/></Types>'
    rewrite(path, "[Content_Types].xml", b"</Types>", declared)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", ENTITIES + b"<sst><si><t>&j;</t></si></sst>")
    assert problem(path) == "FORBIDDEN_XML"


def test_an_external_entity_is_refused(tmp_path: Path) -> None:
    declared = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    path = rewrite(save_book(tmp_path / "a.xlsx", [SITI]), SHEET, b"<worksheet", declared + b"<worksheet")
    assert problem(path) == "FORBIDDEN_XML"


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/image1.bin", bytes(4 << 20))
    assert problem(path) == "FILE_UNPACKS_TOO_LARGE"


def test_a_zip_that_is_no_workbook(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert problem(path) == "NOT_A_ROSTER"


@pytest.mark.parametrize("cell", ["XFD1048576", "A99999999", "XFE2000000"])
def test_a_cell_at_the_end_of_the_world_costs_nothing(tmp_path: Path, cell: str) -> None:
    row = cell.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    far = f'<row r="{row}"><c r="{cell}" t="n"><v>1</v></c></row></sheetData>'.encode()
    path = rewrite(save_book(tmp_path / "a.xlsx", [SITI]), SHEET, b"</sheetData>", far)
    assert problem(path) in {"TOO_MANY_ROWS", "FILE_DAMAGED"}


def test_limits_are_limits(tmp_path: Path) -> None:
    path = save_book(tmp_path / "a.xlsx", [SITI] * 10)
    assert problem(path, Limits(rows=10)) == "TOO_MANY_ROWS"
    assert problem(path, Limits(parts=3)) == "FILE_UNPACKS_TOO_LARGE"
    assert problem(path, Limits(unpacked_bytes=1000)) == "FILE_UNPACKS_TOO_LARGE"
    long = (1, "x" * 10_000, *SITI[2:])
    assert len(read(save_book(path, [long]))[0].texts["name"]) == LIMITS.text
