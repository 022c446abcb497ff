"""`hadir run` and `hadir demo`: a regency's morning on this machine. Owner: stack."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from ops.demo.examples import example_calls
from ops.demo.morning import clock_offset
from ops.demo.wiring import edge_apart, herd_target, import_files
from ops.herd.errors import HerdError
from ops.herd.options import Arrival, Edge, HerdOptions, Slot
from ops.herd.report import HerdReport
from ops.herd.runner import run as run_herd
from ops.roster.output import print_problem, print_refused, print_report
from ops.roster.problems import RosterFileError
from ops.roster.service import ServiceRefusedError
from ops.roster.synthetic import Regency as SyntheticRegency
from ops.roster.synthetic import write_regency
from ops.stack.commands import (
    FAILED,
    Directory,
    EdgeHost,
    EdgePort,
    Ports,
    Regency,
    TlsCertificate,
    TlsKey,
    Zone,
    hold,
    owned_stack,
    parse_ports,
    stack_options,
    tls_files,
)
from ops.stack.layout import DEFAULT_DIRECTORY, REPOSITORY, locked, prepare_layout
from ops.stack.part import StackError
from ops.stack.stack import Stack

DEMO_DIRECTORY = REPOSITORY / "var" / "demo"
ZONE = "Asia/Makassar"
_DAYS = ("Senin", "Selasa", "Rabu", "Kamis", "Jumat", "Sabtu", "Minggu")
_SYNTHETIC_PEOPLE = 6000
_AGAIN = "Perbaiki lalu ulangi. (Correct it and try again.)"

Roster = Annotated[
    Path | None,
    typer.Option(help="a roster file (.xlsx, .csv) in place of the made-up regency; with --schools"),
]
Schools = Annotated[Path | None, typer.Option(help="its list of schools (.csv)")]


def run(
    directory: Directory = DEFAULT_DIRECTORY,
    edge_port: EdgePort = None,
    port: Ports = None,
    edge_host: EdgeHost = "127.0.0.1",
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    regency: Regency = "5202",
    zone: Zone = "Asia/Makassar",
    roster: Roster = None,
    schools: Schools = None,
) -> None:
    """Jalankan semuanya, isi daftar pegawai, tampilkan alamat. The whole stack with a roster, until Ctrl-C."""
    console = Console()
    _both_or_neither(roster, schools)
    options = stack_options(
        directory=directory,
        ports=parse_ports(port, edge_port),
        edge_host=edge_host,
        tls=tls_files(tls_cert, tls_key),
        regency=regency,
        zone=zone,
    )
    with owned_stack(options, console) as stack, explained(console):
        _fill(stack, roster, schools, _SYNTHETIC_PEOPLE, console)
        console.print()
        console.print(example_calls(stack.target), highlight=False, markup=False, soft_wrap=True)
        console.print("\nCtrl-C untuk berhenti / to stop.")
        hold(stack, console)


def demo(
    people: Annotated[int, typer.Option(min=1, help="berapa HP / how many phones")] = _SYNTHETIC_PEOPLE,
    arrival: Annotated[
        Arrival, typer.Option(help="kapan mereka menekan / when they press")
    ] = Arrival.INSTANT,
    edge: Annotated[Edge, typer.Option(help="cara mengirim / how taps travel")] = Edge.JSON,
    slot: Annotated[Slot, typer.Option(help="masuk atau pulang / check-in or check-out")] = Slot.IN,
    roster: Roster = None,
    schools: Schools = None,
    directory: Annotated[
        Path, typer.Option("--dir", help="where report.json and peak.png go, and the stack's own things")
    ] = DEMO_DIRECTORY,
) -> None:
    """Pukul 07:00 satu kabupaten, dari awal sampai laporan. A regency's morning, from nothing to a report.

    The system's clock is moved to a working day's, shortly before the herd's hour.
    Exit status: 0 every acknowledged tap is there exactly once and reporting shows it; 1 otherwise, or when something
    could not run.
    """
    console = Console()
    _both_or_neither(roster, schools)
    start = time.monotonic()
    options = HerdOptions(
        people=people,
        arrival=arrival,
        edge=edge,
        slot=slot,
        report=directory / "report.json",
        picture=directory / "peak.png",
    )
    with explained(console):
        stack_directory = _fresh(directory)
        _heading(console, 1, "Menyalakan sistem", "Starting the system")
        offset = clock_offset(datetime.now(UTC), ZONE, slot)
        settings = stack_options(
            directory=stack_directory, ports=edge_apart(), zone=ZONE, clock_offset=offset.total_seconds()
        )
        console.print(_clock_line(offset), highlight=False)
        with owned_stack(settings, console) as stack:
            _heading(console, 2, "Memasukkan daftar pegawai", "Importing the roster")
            _fill(stack, roster, schools, people, console)
            _heading(console, 3, "Mendaftarkan HP, lalu pukul 07:00", "Enrolling the phones, then 07:00")
            report = run_herd(herd_target(stack.target), options, console=console)
            _heading(console, 4, "Mematikan sistem", "Stopping the system")
    took = time.monotonic() - start
    console.print(f"\n{options.report}\n{options.picture}", highlight=False, soft_wrap=True)
    console.print(f"Selesai dalam {took:.0f} detik. [dim]Done in {took:.0f} s.[/]")
    if not _counts(report, options):
        raise typer.Exit(FAILED)


def _clock_line(offset: timedelta) -> str:
    moved = (datetime.now(UTC) + offset).astimezone(ZoneInfo(ZONE))
    day = f"{_DAYS[moved.weekday()]} {moved:%Y-%m-%d %H:%M}"
    return f"Jam sistem untuk peragaan: {day} WITA. [dim]The system's clock for this demo.[/]"


def _counts(report: HerdReport, options: HerdOptions) -> bool:
    """Whether the run proves what it set out to prove, its two files included."""
    written = [path for path in (options.report, options.picture) if path is not None and path.is_file()]
    return report.ok and len(written) == 2


def _fresh(directory: Path) -> Path:
    """An empty directory for the demo's stack: taps of an earlier morning would be in the way.

    Raises:
        StackError: a demo runs there.
    """
    stack_directory = directory / "stack"
    with locked(prepare_layout(stack_directory)):
        shutil.rmtree(stack_directory)
    for name in ("report.json", "peak.png"):
        (directory / name).unlink(missing_ok=True)
    return stack_directory


def _fill(stack: Stack, roster: Path | None, schools: Path | None, people: int, console: Console) -> None:
    if roster is not None and schools is not None:
        print_report(console, import_files(stack.target, [roster], schools, console))
        return
    with tempfile.TemporaryDirectory() as temporary:
        made_roster, made_schools = write_regency(SyntheticRegency(people=people), Path(temporary))
        print_report(console, import_files(stack.target, [made_roster], made_schools, console))


@contextmanager
def explained(console: Console) -> Iterator[None]:
    """Turns what can go wrong into words and an exit status; a fault of ours stays a traceback."""
    try:
        yield
    except RosterFileError as error:
        print_problem(console, error)
    except ServiceRefusedError as error:
        print_refused(console, error, _AGAIN)
    except HerdError as error:
        console.print(error.message_id, style="bold red", markup=False)
        console.print(error.message_en, style="dim", markup=False)
    except StackError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
    else:
        return
    raise typer.Exit(FAILED)


def _both_or_neither(roster: Path | None, schools: Path | None) -> None:
    if (roster is None) != (schools is None):
        raise typer.BadParameter("--roster and --schools belong together")
    for path in (roster, schools):
        if path is not None and not path.is_file():
            raise typer.BadParameter(f"{path} is not there")


def _heading(console: Console, number: int, words_id: str, words_en: str) -> None:
    console.print(f"\n[bold]{number}. {words_id}[/] [dim]{words_en}[/]")
