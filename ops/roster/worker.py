"""The child that reads roster files with bounded memory and time, and tells its parent in lines of JSON.
Owner: ops/roster. Started by `bounded`; why: docs/decisions/0020-reading-hostile-spreadsheets.md.

Lines: `{"read": 500}` now and then, and for each file in turn `{"sources": ...}` or, as the last line,
`{"problem": ...}`. An end before all files are told means that the next one was too much.
"""

import dataclasses
import json
import math
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.roster import problems
from ops.roster.files import read_roster
from ops.roster.layout import SourceRow
from ops.roster.problems import RosterFileError
from ops.roster.tables import Limits

TOLD_EVERY = 500
"""Rows between two signs of progress."""


def main() -> None:
    """Read the files named by the arguments after the first within the limits that the first gives as JSON."""
    limits, paths = Limits(**json.loads(sys.argv[1])), [Path(name) for name in sys.argv[2:]]
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    # No core of personal data is left behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rows = 0

    def on_row() -> None:
        nonlocal rows
        rows += 1
        if rows % TOLD_EVERY == 0:
            _tell({"read": TOLD_EVERY})

    for path in paths:
        _allow_seconds(limits.seconds)
        if not _read(path, limits, on_row):
            return


def _allow_seconds(seconds: int) -> None:
    """So much CPU time from now on; beyond it the kernel ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _read(path: Path, limits: Limits, on_row: Callable[[], None]) -> bool:
    try:
        sources = read_roster(path, limits=limits, on_row=on_row)
    except RosterFileError as error:
        _tell({"problem": dataclasses.asdict(error.problem)})
        return False
    except MemoryError:
        _tell({"problem": dataclasses.asdict(problems.unpacks_too_large())})
        return False
    _tell({"sources": [(source.label, [_plain(row) for row in source.rows]) for source in sources]})
    return True


def _plain(row: SourceRow) -> tuple[int, dict[str, str], bool]:
    return row.number, row.texts, row.nip_is_number


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()
