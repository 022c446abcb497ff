"""XLSX files as bounded rows: openpyxl's streaming reader over defusedxml. Owner: ops/roster.

Why not the faster calamine: docs/decisions/0020-reading-hostile-spreadsheets.md.
"""

import datetime as dt
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import openpyxl
from defusedxml.common import DefusedXmlException
from openpyxl.utils import get_column_letter
from openpyxl.workbook import Workbook

from ops.roster import problems
from ops.roster.problems import RosterFileError
from ops.roster.tables import EMPTY, MIB, Kind, Limits, Table, Value

# Spreadsheets keep fifteen digits of a number.
_EXACT_BELOW = 10**15


class _Cell(Protocol):
    """What this module needs of openpyxl's streamed cells, which its type stubs do not tell apart from others."""

    @property
    def value(self) -> object: ...
    @property
    def data_type(self) -> str: ...


class _Sheet(Protocol):
    title: str
    sheet_state: str

    def reset_dimensions(self) -> None: ...
    def iter_rows(self, *, max_col: int) -> Iterator[tuple[_Cell, ...]]: ...


def xlsx_tables(path: Path, limits: Limits) -> Generator[Table]:
    """The file's visible sheets, in order.

    Raises:
        RosterFileError: the file is no XLSX, is damaged, hostile or too large, or holds a formula.
    """
    if (openpyxl.DEFUSEDXML, openpyxl.LXML) != (True, False):
        raise RuntimeError(
            "openpyxl must read XML through defusedxml: unset OPENPYXL_DEFUSEDXML and OPENPYXL_LXML"
        )
    _check_size_unpacked(path, limits)
    # Opened here, as openpyxl leaves a file open that it cannot load.
    with path.open("rb") as file, closing(_book(path.name, file)) as book:
        for sheet in cast("list[_Sheet]", book.worksheets):
            if sheet.sheet_state == "visible":
                # The dimension is the file's own claim: too small, it would hide rows.
                sheet.reset_dimensions()
                yield Table(sheet.title, _rows(path.name, sheet, limits))


def _book(name: str, file: BinaryIO) -> Workbook:
    try:
        return openpyxl.load_workbook(file, read_only=True, data_only=False, keep_links=False)
    except Exception as error:  # noqa: BLE001 - openpyxl promises no set of exceptions for a broken file
        raise _broken(name, error) from None


def _broken(name: str, error: BaseException) -> RosterFileError:
    """What a reader's exception means; openpyxl hides some as the cause of another."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return RosterFileError(name, problems.unpacks_too_large())
        if isinstance(cause, DefusedXmlException):
            return RosterFileError(name, problems.forbidden_xml())
        cause = cause.__cause__ or cause.__context__
    return RosterFileError(name, problems.damaged())


def _check_size_unpacked(path: Path, limits: Limits) -> None:
    """Refuse by the archive's directory; zipfile gives no more of a part than the directory says, and checks it."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise RosterFileError(path.name, problems.damaged()) from None
    if not any(part.filename == "[Content_Types].xml" for part in parts):
        raise RosterFileError(path.name, problems.not_a_roster("arsip zip", "a zip archive"))
    bloated = any(
        part.file_size > MIB and part.file_size > limits.ratio * max(part.compress_size, 1) for part in parts
    )
    if bloated or len(parts) > limits.parts or sum(part.file_size for part in parts) > limits.unpacked_bytes:
        raise RosterFileError(path.name, problems.unpacks_too_large())


def _rows(file: str, sheet: _Sheet, limits: Limits) -> Iterator[tuple[int, tuple[Value, ...]]]:
    cells = sheet.iter_rows(max_col=limits.columns)
    number = 0
    while True:
        try:
            row = next(cells, None)
        except Exception as error:  # noqa: BLE001 - as above: whatever a broken sheet makes openpyxl raise
            raise _broken(file, error) from None
        if row is None:
            return
        number += 1
        if number > limits.rows:
            raise RosterFileError(file, problems.too_many_rows(limits.rows))
        yield (
            number,
            tuple(_value(file, cell, number, column, limits) for column, cell in enumerate(row, start=1)),
        )


def _value(file: str, cell: _Cell, row: int, column: int, limits: Limits) -> Value:
    found = cell.value
    if found is None:
        return EMPTY
    if cell.data_type == "f":
        raise RosterFileError(file, problems.formula(f"{get_column_letter(column)}{row}"))
    if isinstance(found, bool):
        return Value(str(found).upper(), Kind.TEXT)
    if isinstance(found, int | float):
        return Value(_number(found), Kind.NUMBER)
    if isinstance(found, dt.datetime):
        return Value(found.date().isoformat(), Kind.TEXT)
    return Value(str(found)[: limits.text], Kind.TEXT)


def _number(found: float) -> str:
    if abs(found) >= _EXACT_BELOW or found != found:  # noqa: PLR0124 - not a number
        return f"{float(found):.15g}"
    return str(int(found)) if found == int(found) else repr(found)
