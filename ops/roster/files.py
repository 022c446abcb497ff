"""Reading a roster file as a whole: checks from outside in, then its people. Owner: ops/roster."""

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ops.roster import problems
from ops.roster.csv_tables import csv_tables
from ops.roster.layout import SourceRow, all_required, people
from ops.roster.problems import RosterFileError
from ops.roster.tables import MIB, Limits, Table
from ops.roster.xlsx_tables import xlsx_tables

_ZIP = b"PK\x03\x04"
# What people hand in instead, by its first bytes.
_OTHERS = (
    (
        b"\xd0\xcf\x11\xe0",
        "Excel lama (.xls) atau Excel bersandi",
        "an old .xls or a password-protected file",
    ),
    (b"%PDF", "PDF", "a PDF"),
    (b"\x1f\x8b", "arsip gzip", "a gzip archive"),
    (b"<", "HTML atau XML", "HTML or XML"),
    (b"{", "JSON", "JSON"),
    (b"\x7fELF", "program", "a program"),
    (b"\xff\xd8", "gambar", "a picture"),
    (b"\x89PNG", "gambar", "a picture"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """The people of one sheet.

    Attributes:
        label: the file's name, with the sheet's where the file has several.
        rows: at least one.
    """

    label: str
    rows: tuple[SourceRow, ...]


def open_tables(path: Path, limits: Limits, *, csv_only: bool = False) -> Generator[Table]:
    """The tables of an XLSX or CSV file, told apart by content, not by name. To be closed by the caller.

    Args:
        path: the file.
        limits: how much is read at most.
        csv_only: refuse XLSX, for who reads outside of the bounded child.

    Raises:
        RosterFileError: it is neither, or cannot be read.
    """
    try:
        if not path.is_file():
            raise RosterFileError(path.name, problems.unreadable("bukan berkas / not a file"))
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise RosterFileError(path.name, problems.unreadable(error.strerror or "?")) from None
    if size > limits.file_bytes:
        raise RosterFileError(path.name, problems.too_large(size / MIB, limits.file_bytes / MIB))
    if not size:
        raise RosterFileError(path.name, problems.damaged())
    if start.startswith(_ZIP):
        if csv_only:
            raise RosterFileError(path.name, problems.not_csv())
        return xlsx_tables(path, limits)
    for mark, words_id, words_en in _OTHERS:
        if start.lstrip().startswith(mark):
            raise RosterFileError(path.name, problems.not_a_roster(words_id, words_en))
    return csv_tables(path, limits)


def read_roster(
    path: Path, *, limits: Limits, on_row: Callable[[], None] | None = None
) -> tuple[Source, ...]:
    """All people of a roster file, one source per sheet that has a roster's header.

    Args:
        path: an XLSX or CSV file.
        limits: how much is read at most.
        on_row: called after each row, for a progress display.

    Raises:
        RosterFileError: the file as a whole cannot be imported; nothing is returned then.
    """
    found: list[tuple[str, tuple[SourceRow, ...]]] = []
    # The library warns of styles and extensions that it ignores; none of them is about the data.
    with warnings.catch_warnings(action="ignore"), closing(open_tables(path, limits)) as tables:
        for table in tables:
            rows = people(path.name, table)
            if rows is not None:
                found.append((table.title, tuple(_counted(rows, on_row))))
    if not found:
        raise RosterFileError(path.name, problems.wrong_header(all_required()))
    filled = [(title, rows) for title, rows in found if rows]
    if not filled:
        raise RosterFileError(path.name, problems.no_rows())
    if len(filled) == 1:
        return (Source(path.name, filled[0][1]),)
    return tuple(Source(f"{path.name} [{title}]", rows) for title, rows in filled)


def _counted(rows: Iterator[SourceRow], on_row: Callable[[], None] | None) -> Iterator[SourceRow]:
    for row in rows:
        yield row
        if on_row is not None:
            on_row()
