"""How the tools meet: the stack's description in the herd's and the roster's own terms. Owner: stack."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.herd.target import StackTarget
from ops.roster.commands import read_all
from ops.roster.importing import ImportReport, import_roster
from ops.roster.service import Endpoint
from ops.roster.tables import Limits
from ops.stack.part import StackError
from ops.stack.ports import choose_ports
from ops.stack.target import RunningStack


def edge_apart() -> dict[str, int]:
    """A free port for the edge of a stack that nobody else visits.

    The well-known one is for `hadir run`; two stacks that start together would both find it free.

    Raises:
        StackError: no port is free.
    """
    return choose_ports(["edge"], {}, {})


def herd_target(running: RunningStack) -> StackTarget:
    """What the herd is let loose on.

    Raises:
        StackError: the stack lacks an edge, auth or a database.
    """
    if running.edge is None or running.database is None:
        raise StackError("the herd needs the whole stack: edge, services, database")
    return StackTarget(
        edge=running.edge,
        staff_token=running.staff_token(),
        regency=running.regency,
        database_url=running.database.url(),
        state_dir=running.directory,
        tls_ca=running.edge_certificate,
        meter=running.usage,
    )


def roster_endpoint(running: RunningStack) -> Endpoint:
    """Where a roster goes: to auth directly, as the import is a stream of its own kind.

    Raises:
        StackError: the stack has no auth.
    """
    address = running.grpc.get("auth")
    if address is None:
        raise StackError("the roster needs auth")
    return Endpoint(address, running.staff_token())


def import_files(
    running: RunningStack, rosters: Sequence[Path], schools: Path, console: Console
) -> ImportReport:
    """Imports a roster with a progress bar.

    Raises:
        RosterFileError: a file cannot be read as a roster; nothing was sent.
        ServiceRefusedError: auth refused; nothing was written.
        StackError: the stack has no auth.
    """
    endpoint = roster_endpoint(running)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        reading = progress.add_task("Membaca / reading", total=None)
        sources, found = read_all(
            rosters, schools, limits=Limits(), on_rows=lambda rows: progress.advance(reading, rows)
        )
        total = sum(len(source.rows) for source in sources)
        sending = progress.add_task("Mengirim / sending", total=total)
        return asyncio.run(
            import_roster(
                endpoint,
                sources,
                found,
                dry_run=False,
                on_sent=lambda sent: progress.advance(sending, sent),
            )
        )
