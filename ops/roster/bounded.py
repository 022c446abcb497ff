"""Reading roster files in a child process that may use so much memory and time and no more. Owner: ops/roster.

Some files are sound by every count that can be taken from outside and still cost a reader gigabytes; the kernel's
limits on the child catch them all. Why: docs/decisions/0020-reading-hostile-spreadsheets.md.
"""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ops.roster import problems
from ops.roster.files import Source
from ops.roster.layout import SourceRow
from ops.roster.problems import Problem, RosterFileError
from ops.roster.tables import Limits


def read_rosters(
    paths: Sequence[Path], *, limits: Limits, on_rows: Callable[[int], None] | None = None
) -> tuple[Source, ...]:
    """The people of all files in order, read in one child process bounded by the limits' memory and seconds.

    One child for all of them: starting it takes longer than reading a school's own file.

    Args:
        paths: XLSX or CSV files.
        limits: how much of each is read, and what that may cost.
        on_rows: called with the number of rows read since the last call, for a progress display.

    Raises:
        RosterFileError: one of the files cannot be imported; the first such one.
    """
    command = [
        sys.executable,
        "-c",
        "from ops.roster.worker import main; main()",
        json.dumps(dataclasses.asdict(limits)),
        *(str(path.absolute()) for path in paths),
    ]
    # The child finds the code where its parent found it, installed or not.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        # The kernel bounds CPU time; this bounds waiting, as on a file system that hangs.
        timer = threading.Timer(2 * limits.seconds * max(len(paths), 1), child.kill)
        timer.start()
        try:
            return tuple(_heard([path.name for path in paths], child, on_rows))
        finally:
            timer.cancel()
            child.kill()


def _heard(
    files: Sequence[str], child: subprocess.Popen[bytes], on_rows: Callable[[int], None] | None
) -> Iterator[Source]:
    lines = iter(child.stdout or ())
    for file in files:
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if "problem" in message:
                raise RosterFileError(file, Problem(**message["problem"]))
            if "sources" in message:
                for label, rows in message["sources"]:
                    yield Source(label, tuple(SourceRow(*row) for row in rows))
                break
            if on_rows is not None:
                on_rows(int(message["read"]))
        else:
            raise RosterFileError(file, problems.unpacks_too_large())
