"""The run in words for a civil servant, Bahasa Indonesia first, English second. Owner: herd."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.herd.options import Arrival, HerdOptions, Slot
from ops.herd.report import HerdReport


def print_summary(console: Console, options: HerdOptions, report: HerdReport) -> None:
    """What happened, whether anything is missing, and what it cost."""
    console.print()
    console.print(_headline(options, report))
    console.print(_table(report))
    for warning in report.warnings:
        console.print(
            f"[yellow]Perhatikan:[/] {escape(warning.message_id)} [dim]{escape(warning.message_en)}[/]"
        )
    for problem in report.problems:
        console.print(
            f"[bold red]Gagal:[/] {escape(problem.message_id)} [dim]{escape(problem.message_en)}[/]"
        )
    if report.ok:
        console.print(
            "[bold green]Tidak ada presensi yang hilang atau tercatat dua kali.[/] "
            "[dim]No attendance is missing or recorded twice.[/]"
        )


def seconds_id(seconds: float) -> str:
    """A duration as an Indonesian writes it: "3,4 detik"."""
    return f"{seconds:.1f}".replace(".", ",") + " detik"


def count_id(number: int) -> str:
    """A number as an Indonesian writes it: "6.000"."""
    return f"{number:,}".replace(",", ".")


def headline_id(options: HerdOptions, report: HerdReport) -> str:
    """One sentence, Bahasa Indonesia."""
    slot = "masuk" if options.slot is Slot.IN else "pulang"
    who = f"{count_id(report.acknowledged)} dari {count_id(report.people)} orang presensi {slot}"
    if options.arrival is Arrival.INSTANT:
        return f"{who} serentak, selesai dalam {seconds_id(report.seconds_to_all)}"
    # How long it took says when people came; how long they waited says how the system was.
    return f"{who}, paling lama menunggu {seconds_id(report.max_ms / 1000)}"


def headline_en(options: HerdOptions, report: HerdReport) -> str:
    """The same in English."""
    who = f"{report.acknowledged:,} of {report.people:,} people checked {options.slot}"
    if options.arrival is Arrival.INSTANT:
        return f"{who} all at once, done within {report.seconds_to_all:.1f} s"
    return f"{who}, the longest wait was {report.max_ms / 1000:.1f} s"


def _headline(options: HerdOptions, report: HerdReport) -> str:
    return f"[bold]{headline_id(options, report)}.[/]\n[dim]{headline_en(options, report)}.[/]"


def _table(report: HerdReport) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_column(style="dim")
    p50, p99 = report.p50_ms / 1000, report.p99_ms / 1000
    rows = (
        (seconds_id(p50), "waktu tunggu separuh orang, paling lama", "half waited no longer"),
        (seconds_id(p99), "waktu tunggu 99 dari 100 orang, paling lama", "99 of 100 waited no longer"),
        (count_id(report.retries), "kali HP diminta atau perlu mengirim ulang", "times a phone sent again"),
        (count_id(report.refused), "orang ditolak", "people refused"),
        (count_id(report.lost), "presensi hilang", "lost"),
        (count_id(report.duplicated), "presensi tercatat dua kali", "recorded twice"),
        (
            seconds_id(report.reporting_lag_ms / 1000),
            "setelah orang terakhir, papan pantau sudah lengkap",
            "after the last person the board was complete",
        ),
        (f"{report.memory_mb_total:.0f} MB", "memori seluruh sistem", "memory of the whole system"),
        (
            f"{report.server_cpu_ms_per_tap:.2f} ms".replace(".", ","),
            "waktu prosesor per orang (server)",
            "processor time per person (servers)",
        ),
    )
    for row in rows:
        table.add_row(*row)
    return table
