"""Finding a Dapodik export's columns, and only the wanted ones. Owner: ops/roster.

Everything else (NIK, bank, family, addresses) is dropped here, before it is held, shown or sent: Hadir has no use for
it (UU PDP 27/2022, data minimisation).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ops.roster import problems
from ops.roster.problems import RosterFileError
from ops.roster.tables import EMPTY, Kind, Table, Value

HEADER_WITHIN_ROWS = 20
"""Dapodik's header is in row 5; a file whose owner added a few title rows is still read."""

_REQUIRED = {"name": "Nama", "nip": "NIP", "employment_status": "Status Kepegawaian"}
_OPTIONAL = {
    "nuptk": "NUPTK",
    "staff_kind": "Jenis PTK",
    "extra_duty": "Tugas Tambahan",
    "phone": "HP",
    "npsn": "NPSN",
    "school_name": "Tempat Tugas",
    "sex": "JK",
    "birth_date": "Tanggal Lahir",
}
_TITLE_NPSN = re.compile(r"\bNPSN\W{0,3}([0-9A-Z]{8})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One person's row as found, wanted columns only.

    Attributes:
        number: the row's number as the spreadsheet shows it.
        texts: field name (as in the RosterRow message) to text; blank ones are left out.
        nip_is_number: the NIP was stored as a number, so its last digits are lost.
    """

    number: int
    texts: dict[str, str]
    nip_is_number: bool


@dataclass(slots=True)
class _Found:
    columns: dict[str, int] = field(default_factory=dict)
    title_npsn: str = ""

    def missing(self) -> tuple[str, ...]:
        return tuple(label for name, label in _REQUIRED.items() if name not in self.columns)


def people(file: str, table: Table) -> Iterator[SourceRow] | None:
    """The rows of people in a table; None if the table has no header of a roster, so that another sheet may.

    Raises:
        RosterFileError: the header lacks required columns, or nothing names the school.
    """
    found = _Found()
    best = tuple(_REQUIRED.values())
    for number, cells in table.rows:
        found.columns = _columns(cells)
        missing = found.missing()
        best = min(best, missing, key=len)
        if not missing:
            return _people(file, table, found)
        found.title_npsn = found.title_npsn or _npsn_of(cells)
        if number >= HEADER_WITHIN_ROWS:
            break
    if len(best) < len(_REQUIRED):
        raise RosterFileError(file, problems.wrong_header(best))
    return None


def all_required() -> tuple[str, ...]:
    """The columns without which a file is no roster, by their header."""
    return tuple(_REQUIRED.values())


def _columns(cells: Sequence[Value]) -> dict[str, int]:
    wanted = {label.casefold(): name for name, label in (_REQUIRED | _OPTIONAL).items()}
    columns: dict[str, int] = {}
    for index, cell in enumerate(cells):
        name = wanted.get(" ".join(cell.text.split()).casefold())
        if name is not None:
            columns.setdefault(name, index)
    return columns


def _npsn_of(cells: Sequence[Value]) -> str:
    return next((found[1].upper() for cell in cells if (found := _TITLE_NPSN.search(cell.text))), "")


def _people(file: str, table: Table, found: _Found) -> Iterator[SourceRow]:
    if not {"npsn", "school_name"} & found.columns.keys() and not found.title_npsn:
        raise RosterFileError(file, problems.no_school())
    nip = found.columns["nip"]
    for number, cells in table.rows:
        texts = {name: _at(cells, index).text for name, index in found.columns.items()}
        texts = {name: text for name, text in texts.items() if text.strip()}
        if texts:
            if "npsn" not in found.columns and found.title_npsn:
                texts["npsn"] = found.title_npsn
            yield SourceRow(number, texts, nip_is_number=_at(cells, nip).kind is Kind.NUMBER)


def _at(cells: Sequence[Value], index: int) -> Value:
    return cells[index] if index < len(cells) else EMPTY
