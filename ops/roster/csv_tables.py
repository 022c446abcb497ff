"""CSV files as bounded rows: the standard library's reader. Owner: ops/roster."""

import csv
import io
from collections.abc import Generator, Iterator
from pathlib import Path

from ops.roster import problems
from ops.roster.problems import RosterFileError
from ops.roster.tables import EMPTY, Kind, Limits, Table, Value

_FIRST_LINES = 20


def csv_tables(path: Path, limits: Limits) -> Generator[Table]:
    """The file as one table; separator and encoding are found out.

    The separator is the one of comma, semicolon, tab that the widest of the first lines has most of. UTF-8 with or
    without a mark, UTF-16 with a mark; else Windows-1252, which is what Excel writes in Indonesia.

    Raises:
        RosterFileError: the file is damaged, too long or holds a formula; also raised while the rows are consumed.
    """
    text = _decoded(path)
    if "\0" in text:
        raise RosterFileError(path.name, problems.not_a_roster("berkas biner", "a binary file"))
    yield Table("", _rows(path.name, text, limits))


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ["utf-16"] if marked else ["utf-8-sig", "cp1252"]:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise RosterFileError(path.name, problems.damaged())


def _separator(text: str) -> str:
    lines = [line for _, line in zip(range(_FIRST_LINES), io.StringIO(text), strict=False)]
    return max(",;\t", key=lambda separator: max((line.count(separator) for line in lines), default=0))


def _rows(file: str, text: str, limits: Limits) -> Iterator[tuple[int, tuple[Value, ...]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    widest = 0
    number = 0
    fields: list[str] = []
    try:
        for fields in reader:
            number += 1
            if number > limits.rows:
                raise RosterFileError(file, problems.too_many_rows(limits.rows))
            widest = max(widest, len(fields))
            yield number, tuple(_value(file, field, number, limits) for field in fields[: limits.columns])
    except csv.Error:
        # An open quote at the end, or a field beyond the library's 128 KiB: neither is a roster's.
        raise RosterFileError(file, problems.damaged()) from None
    if 0 < len(fields) < widest and not text.endswith(("\n", "\r")):
        raise RosterFileError(file, problems.damaged())


def _value(file: str, field: str, row: int, limits: Limits) -> Value:
    text = field.strip()
    if text.startswith('="') and text.endswith('"') and text.count('"') == 2:
        # How exports make Excel keep a long number's digits; it calculates nothing.
        text = text[2:-1]
    if text.startswith("="):
        raise RosterFileError(file, problems.formula(f"baris/row {row}"))
    return Value(text[: limits.text], Kind.TEXT) if text else EMPTY
