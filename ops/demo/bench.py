"""`hadir bench`: what a tap costs, part by part, for each way it can travel. Owner: stack."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ops.demo.commands import explained
from ops.demo.wiring import edge_apart, herd_target, import_files
from ops.herd.options import Edge, HerdOptions
from ops.herd.report import HerdReport
from ops.herd.runner import run as run_herd
from ops.roster.synthetic import Regency, write_regency
from ops.stack.commands import FAILED, owned_stack, stack_options
from ops.stack.layout import REPOSITORY
from ops.stack.stack import Stack

_DIRECTORY = REPOSITORY / "var" / "bench"


def bench(
    people: Annotated[int, typer.Option(min=1, help="berapa HP / how many phones")] = 2000,
    directory: Annotated[Path, typer.Option("--dir", help="where the reports go")] = _DIRECTORY,
) -> None:
    """Ukur biaya satu presensi, bagian demi bagian. What a tap costs: CPU and memory of each part.

    The same phones tap three times on one fresh stack, at the real hour: JSON, then gRPC, then a gateway's batches.
    Memory is that after each run and adds up; the herd runs on the same cores.
    """
    console = Console()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hadir-bench-") as temporary, explained(console):
        options = stack_options(directory=Path(temporary) / "stack", ports=edge_apart())
        with owned_stack(options, console) as stack:
            reports = _mornings(stack, people, directory, console)
    console.print(_table(reports))
    console.print(f"{directory}/{{{','.join(edge.value for edge in reports)}}}.json", highlight=False)
    if not all(report.ok for report in reports.values()):
        raise typer.Exit(FAILED)


def _mornings(stack: Stack, people: int, directory: Path, console: Console) -> dict[Edge, HerdReport]:
    with tempfile.TemporaryDirectory() as temporary:
        roster, schools = write_regency(Regency(people=people), Path(temporary))
        import_files(stack.target, [roster], schools, console)
    reports = {}
    for edge in Edge:
        options = HerdOptions(people=people, edge=edge, report=directory / f"{edge.value}.json")
        reports[edge] = run_herd(herd_target(stack.target), options, console=console)
    return reports


def _table(reports: Mapping[Edge, HerdReport]) -> Table:
    table = Table(title="CPU per tap, ms / memori (PSS), MB")
    table.add_column("bagian / part")
    for edge in reports:
        table.add_column(edge.value, justify="right")
    parts = sorted({part for report in reports.values() for part in report.memory_mb_by_part})
    for part in parts:
        table.add_row(part, *(_cell(report, part) for report in reports.values()))
    table.add_section()
    table.add_row(
        "server",
        *(
            f"{report.server_cpu_ms_per_tap:.2f} / {report.memory_mb_total:.0f}"
            for report in reports.values()
        ),
    )
    table.add_row("herd", *(f"{report.client_cpu_ms_per_tap:.2f}" for report in reports.values()))
    table.add_row("taps/s", *(f"{_rate(report):.0f}" for report in reports.values()))
    return table


def _cell(report: HerdReport, part: str) -> str:
    cpu = report.details["server_cpu_ms_per_tap_by_part"].get(part, 0.0)
    return f"{cpu:.2f} / {report.memory_mb_by_part.get(part, 0.0):.0f}"


def _rate(report: HerdReport) -> float:
    return report.acknowledged / report.seconds_to_all if report.seconds_to_all else 0.0
