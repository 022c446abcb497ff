"""A spreadsheet file as bounded rows of plain cells, whatever its format. Owner: ops/roster.

Which libraries read it and why, and what each limit is for: docs/decisions/0020-reading-hostile-spreadsheets.md.
Files come from outside: nothing here trusts a size, a dimension or a declaration that a file makes about itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is read at most; beyond it the file is refused.

    Attributes:
        file_bytes: size on disk. 11,000 people in Dapodik's layout are 2.8 MB.
        unpacked_bytes: sum of an XLSX's parts, unpacked. 11,000 people are 24 MB.
        ratio: how many times larger than packed a part may be. Dapodik's own are about 8.
        parts: files inside an XLSX.
        rows: the last row of a sheet, empty ones included (Excel's own limit is 1,048,576).
        columns: cells of a row that are looked at. Dapodik has 53.
        text: characters of a cell that are kept.
        memory_bytes: address space of the process that reads. 11,000 people take about 60 MB of memory.
        seconds: CPU time of that process. 11,000 people take about 6 s on a slow machine.
    """

    file_bytes: int = 32 * MIB
    unpacked_bytes: int = 64 * MIB
    ratio: int = 200
    parts: int = 1000
    rows: int = 60_000
    columns: int = 256
    text: int = 300
    memory_bytes: int = 512 * MIB
    seconds: int = 40


class Kind(Enum):
    """How the file stored a value."""

    EMPTY = auto()
    TEXT = auto()
    NUMBER = auto()


@dataclass(frozen=True, slots=True)
class Value:
    """A cell: its text, and how it was stored. A number of sixteen digits or more shows as 1.2e+17: it is inexact."""

    text: str = ""
    kind: Kind = Kind.EMPTY


EMPTY = Value()


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet.

    Attributes:
        title: its name; empty for a CSV.
        rows: (number as the spreadsheet shows it, cells), to be consumed once, while the file is open. Raises
            `RosterFileError` where the file turns out to be broken.
    """

    title: str
    rows: Iterator[tuple[int, tuple[Value, ...]]]
