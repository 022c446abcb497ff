"""`hadir herd` and `hadir peak`: the herd against a stack that runs already. Owner: herd."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ops.herd.errors import HerdError
from ops.herd.options import Arrival, Edge, HerdOptions, Slot
from ops.herd.runner import run
from ops.herd.target import StackTarget


def register(
    app: typer.Typer, load_target: Callable[[Path | None], StackTarget], *, name: str = "herd"
) -> None:
    """Adds the command to `app`.

    Args:
        app: the whole command line.
        load_target: finds the stack that runs in a directory (None: the usual one); who composes the command line
            knows both stack and herd, which do not know each other. May raise HerdError.
        name: of the command.
    """

    @app.command(name=name)
    def herd(
        people: Annotated[int, typer.Option(min=1, help="Jumlah HP / how many phones")] = 6000,
        arrival: Annotated[
            Arrival,
            typer.Option(help="Kapan mereka menekan / when they press: at once, within a minute, as an S"),
        ] = Arrival.INSTANT,
        edge: Annotated[
            Edge, typer.Option(help="Cara mengirim / how taps travel: JSON, gRPC, a gateway's batches")
        ] = Edge.JSON,
        slot: Annotated[Slot, typer.Option(help="Masuk atau pulang / check-in or check-out")] = Slot.IN,
        seed: Annotated[int, typer.Option(help="Benih acak / seed of all chance")] = 7,
        compress: Annotated[
            float, typer.Option(min=1, help="curve: 15 menit dibagi ini / its 15 minutes divided by this")
        ] = 10.0,
        report: Annotated[Path, typer.Option(help="Hasil / where the report goes")] = Path(
            "var/peak/report.json"
        ),
        picture: Annotated[Path, typer.Option(help="Gambar / where the picture goes")] = Path(
            "var/peak/peak.png"
        ),
        stack: Annotated[
            Path | None, typer.Option("--dir", help="Direktori stack / directory of the running stack")
        ] = None,
    ) -> None:
        """Simulasi jam 07:00 pada stack yang sedang berjalan / the 07:00 herd against a running stack.

        It runs at the stack's own hour: outside the windows taps are stored and flagged, and nobody becomes present.
        Exit status: 0 the run counts; 1 it does not; 2 it could not start.
        """
        console = Console()
        options = HerdOptions(
            people=people,
            arrival=arrival,
            edge=edge,
            slot=slot,
            seed=seed,
            compress=compress,
            report=report,
            picture=picture,
        )
        try:
            result = run(load_target(stack), options, console=console)
        except HerdError as error:
            console.print(f"[bold red]{escape(error.message_id)}[/]\n[dim]{escape(error.message_en)}[/]")
            raise typer.Exit(2) from error
        console.print(f"{report}  {picture}")
        if not result.ok:
            raise typer.Exit(1)
