"""What the roster commands show: Bahasa Indonesia first, English second. Owner: ops/roster."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hadir.auth.v1 import roster_service_pb2
from ops.roster.importing import ImportReport
from ops.roster.problems import RosterFileError
from ops.roster.service import ServiceRefusedError

SHOWN_ROWS = 500
"""Rows of a table at most; `--json` gives them all."""


def print_problem(console: Console, error: RosterFileError) -> None:
    """A file that cannot be imported: which, why, what to do."""
    found = error.problem
    console.print(
        f"[bold red]{escape(error.file)}[/]: {escape(found.message_id)} {escape(found.what_to_do_id)}"
    )
    console.print(f"[dim]{escape(found.message_en)} {escape(found.what_to_do_en)}[/]")
    console.print("Tidak ada yang dikirim. [dim]Nothing was sent.[/]")


def print_refused(console: Console, error: ServiceRefusedError, hint: str) -> None:
    """A service that did not do it, and what to do (`hint`, both languages)."""
    code = f"{error.code.name} {error.reason}".strip()
    console.print(f"[bold red]{escape(error.message_id)}[/] [dim]({escape(code)})[/]")
    if error.message_en != error.message_id:
        console.print(f"[dim]{escape(error.message_en)}[/]")
    console.print(escape(hint))


def print_report(console: Console, report: ImportReport) -> None:
    """Refused rows, accepted rows to look at, and the counts."""
    refused = [result for result in report.results if _is_refused(result)]
    noted = [result for result in report.results if not _is_refused(result) and result.warnings]
    if noted:
        console.print(_noted_table(report, noted))
    if refused:
        console.print(_refused_table(report, refused))
    summary = report.summary
    console.print(
        f"[bold]Diterima {summary.accepted}, ditolak {summary.refused}[/] "
        f"(baru {summary.created}, berubah {summary.updated}, tetap {summary.unchanged}; "
        f"sekolah berubah {summary.schools_changed})."
    )
    console.print(
        f"[dim]Accepted {summary.accepted}, refused {summary.refused} "
        f"(new {summary.created}, changed {summary.updated}, same {summary.unchanged}; "
        f"schools changed {summary.schools_changed}).[/]"
    )
    if summary.dry_run:
        console.print("Hanya percobaan: tidak ada yang disimpan. [dim]Dry run: nothing was written.[/]")


def as_json(report: ImportReport) -> dict[str, Any]:
    """The whole report as plain data, snake_case keys."""
    summary = report.summary
    counts = ("accepted", "refused", "created", "updated", "unchanged", "schools_changed", "dry_run")
    return {name: getattr(summary, name) for name in counts} | {
        "rows": [
            {
                "file": _source(report, result),
                "row": result.number,
                "outcome": roster_service_pb2.RowOutcome.Name(result.outcome)
                .removeprefix("ROW_OUTCOME_")
                .lower(),
                "column": result.column,
                "reason": result.reason,
                "message_id": result.message_id,
                "message_en": result.message_en,
                "warnings": list(result.warnings),
            }
            for result in report.results
        ]
    }


def _is_refused(result: roster_service_pb2.RowResult) -> bool:
    return result.outcome == roster_service_pb2.ROW_OUTCOME_REFUSED


def _refused_table(report: ImportReport, results: list[roster_service_pb2.RowResult]) -> Table:
    words = (
        (
            result,
            (
                result.column,
                result.reason,
                f"{escape(result.message_id)}\n[dim]{escape(result.message_en)}[/]",
            ),
        )
        for result in results
    )
    headings = ("Kolom", "Alasan", "Apa yang salah, apa yang harus dilakukan")
    return _table(f"Ditolak: {len(results)} / refused", headings, report, words, len(results))


def _noted_table(report: ImportReport, results: list[roster_service_pb2.RowResult]) -> Table:
    words = ((result, (escape("\n".join(result.warnings)),)) for result in results)
    title = f"Diterima dengan catatan: {len(results)} / accepted with notes"
    return _table(title, ("Catatan",), report, words, len(results))


def _table(
    title: str,
    headings: tuple[str, ...],
    report: ImportReport,
    rows: Iterable[tuple[roster_service_pb2.RowResult, tuple[str, ...]]],
    count: int,
) -> Table:
    several = len(report.sources) > 1
    caption = f"{count - SHOWN_ROWS} lagi: --json / more: --json" if count > SHOWN_ROWS else None
    table = Table(title=title, title_justify="left", caption=caption)
    for heading in (*(("Berkas",) if several else ()), "Baris", *headings):
        table.add_column(heading, justify="right" if heading == "Baris" else "left")
    for _, (result, cells) in zip(range(SHOWN_ROWS), rows, strict=False):
        table.add_row(*((escape(_source(report, result)),) if several else ()), str(result.number), *cells)
    return table


def _source(report: ImportReport, result: roster_service_pb2.RowResult) -> str:
    return report.sources[result.source] if result.source < len(report.sources) else "?"
