"""`hadir roster ...`: importing a roster, printing activation codes, making a regency up. Owner: ops/roster.

Exit status: 0 done (refused rows are told and are normal), 2 a file or an argument is wrong and nothing was sent,
3 the service could not be reached or did not do it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hadir.auth.v1 import people_pb2
from ops.roster.bounded import read_rosters
from ops.roster.codes import code_sheet, issue_codes, private_file
from ops.roster.files import Source
from ops.roster.importing import ImportReport, import_roster
from ops.roster.output import as_json, print_problem, print_refused, print_report
from ops.roster.problems import RosterFileError
from ops.roster.schools import read_schools
from ops.roster.service import Endpoint, ServiceRefusedError
from ops.roster.synthetic import Regency, write_regency
from ops.roster.tables import Limits

FILE_ERROR = 2
SERVICE_ERROR = 3
# An answer that was lost on its way does not tell whether the work was done; both commands may simply be repeated.
_IMPORT_AGAIN = (
    "Impor disimpan seluruhnya atau tidak sama sekali; ulangi saja, berkas yang sama tidak mengubah apa pun. "
    "(An import is kept whole or not at all; repeat it: the same file twice changes nothing.)"
)
_CODES_AGAIN = (
    "Tidak ada berkas yang ditulis; ulangi untuk mendapat kode baru. "
    "(No file was written; repeat it for new codes.)"
)

FindEndpoint = Callable[[], Endpoint | None]
"""Where the local stack's auth service is, with a token for this run; None when none is running."""

_Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="HADIR_AUTH_ADDRESS",
        help="auth service: host:port, or https://host:port. Default: the running local stack.",
    ),
]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="HADIR_TOKEN_FILE",
        help="file that holds a staff access token. Default: the running local stack's.",
    ),
]


def make_app(find_endpoint: FindEndpoint) -> typer.Typer:
    """The `roster` group of commands.

    Args:
        find_endpoint: finds the running local stack, for when no address is given.
    """
    app = typer.Typer(no_args_is_help=True, help="Daftar pegawai: impor dan kode aktivasi. Roster and codes.")

    @app.command("import")
    def import_(
        files: Annotated[
            list[Path], typer.Argument(metavar="FILE...", help="Dapodik exports, .xlsx or .csv")
        ],
        schools: Annotated[
            Path | None, typer.Option(help="list of schools, .csv; see docs/roster.md")
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="judge every row, change nothing")] = False,
        json_output: Annotated[
            bool, typer.Option("--json", help="one JSON object instead of tables")
        ] = False,
        address: _Address = None,
        token_file: _TokenFile = None,
    ) -> None:
        """Impor daftar pegawai (ekspor Dapodik). Import staff rosters; the same file twice changes nothing."""
        errors = Console(stderr=True)
        endpoint = _endpoint(address, token_file, find_endpoint, errors)
        report = _import(endpoint, files, schools, dry_run=dry_run, errors=errors)
        if json_output:
            typer.echo(json.dumps(as_json(report), ensure_ascii=False))
        else:
            print_report(Console(), report)

    @app.command("codes")
    def codes(
        school: Annotated[str, typer.Option(help="NPSN of the school")],
        out: Annotated[Path, typer.Option(help="HTML file to write, for printing")],
        zone: Annotated[str, typer.Option(help="time zone of the dates on the slips")] = "Asia/Makassar",
        address: _Address = None,
        token_file: _TokenFile = None,
    ) -> None:
        """Cetak kode aktivasi satu sekolah. New activation codes, to print; older unused ones become void."""
        errors = Console(stderr=True)
        endpoint = _endpoint(address, token_file, find_endpoint, errors)
        try:
            with private_file(out) as file:
                issued = asyncio.run(issue_codes(endpoint, school))
                file.write(code_sheet(issued, ZoneInfo(zone)))
        except ServiceRefusedError as error:
            print_refused(errors, error, _CODES_AGAIN)
            raise typer.Exit(SERVICE_ERROR) from None
        except OSError as error:
            errors.print(
                f"Tidak dapat menulis / cannot write {out}: {error.strerror}", style="red", markup=False
            )
            raise typer.Exit(FILE_ERROR) from None
        Console().print(f"{len(issued.codes)} kode / codes: {out}", markup=False)

    @app.command("synthetic")
    def synthetic(
        directory: Annotated[Path, typer.Argument(help="where roster.csv and schools.csv are written")],
        people: Annotated[int, typer.Option(min=1, max=200_000, help="how many people")] = 6000,
        seed: Annotated[int, typer.Option(help="the same seed makes the same regency")] = 52_02,
    ) -> None:
        """Buat kabupaten rekaan. A made-up regency in the same layout as a real export."""
        roster, schools = write_regency(Regency(people=people, seed=seed), directory)
        Console().print(f"{roster}\n{schools}", markup=False)

    return app


def read_all(
    files: Sequence[Path],
    schools: Path | None,
    *,
    limits: Limits,
    on_rows: Callable[[int], None] | None = None,
) -> tuple[tuple[Source, ...], tuple[people_pb2.School, ...]]:
    """Everything that an import sends, read before anything is sent.

    Raises:
        RosterFileError: one of the files cannot be imported.
    """
    found_schools = read_schools(schools, limits=limits) if schools is not None else ()
    return read_rosters(files, limits=limits, on_rows=on_rows), found_schools


def _import(
    endpoint: Endpoint, files: Sequence[Path], schools: Path | None, *, dry_run: bool, errors: Console
) -> ImportReport:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=errors, transient=True) as progress:
            reading = progress.add_task("Membaca / reading", total=None)
            sources, found_schools = read_all(
                files, schools, limits=Limits(), on_rows=lambda rows: progress.advance(reading, rows)
            )
            sending = progress.add_task(
                "Mengirim / sending", total=sum(len(source.rows) for source in sources)
            )
            return asyncio.run(
                import_roster(
                    endpoint,
                    sources,
                    found_schools,
                    dry_run=dry_run,
                    on_sent=lambda rows: progress.advance(sending, rows),
                )
            )
    except RosterFileError as error:
        print_problem(errors, error)
        raise typer.Exit(FILE_ERROR) from None
    except ServiceRefusedError as error:
        print_refused(errors, error, _IMPORT_AGAIN)
        raise typer.Exit(SERVICE_ERROR) from None


def _endpoint(address: str | None, token_file: Path | None, find: FindEndpoint, errors: Console) -> Endpoint:
    """The endpoint asked for, else the local stack's; exits when there is neither."""
    local = find() if address is None or token_file is None else None
    try:
        token = (
            token_file.read_text(encoding="ascii").strip() if token_file else (local.token if local else "")
        )
    except (OSError, UnicodeDecodeError):
        errors.print(f"Token tidak dapat dibaca / unreadable token: {token_file}", style="red", markup=False)
        raise typer.Exit(FILE_ERROR) from None
    where = address or (local.address if local else "")
    if not where or not token:
        errors.print(
            "Layanan tidak ditemukan: jalankan `make run`, atau berikan --address dan --token-file.\n"
            "No service found: start `make run`, or give --address and --token-file.",
            style="red",
            markup=False,
        )
        raise typer.Exit(FILE_ERROR)
    return Endpoint(where, token)
