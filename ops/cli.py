"""The `hadir` command: mounts what each tool offers, and tells each where the running stack is.

Owner: stack; a verb's options belong to its tool.
"""

import os
from pathlib import Path

import typer

from ops.demo.bench import bench
from ops.demo.commands import demo, run
from ops.demo.wiring import herd_target, roster_endpoint
from ops.herd.cli import register as register_herd
from ops.herd.errors import HerdError
from ops.herd.target import StackTarget
from ops.roster.commands import make_app as make_roster_app
from ops.roster.service import Endpoint
from ops.stack.commands import stack
from ops.stack.layout import DEFAULT_DIRECTORY
from ops.stack.part import StackError
from ops.stack.target import RunningStack, load_target

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # A traceback with the values of local variables would show tokens.
    pretty_exceptions_show_locals=False,
    help="Hadir di satu mesin: jalankan, ukur, isi. Hadir on one machine: run it, measure it, fill it.",
)


def main() -> None:
    """The console script."""
    app()


def _running(directory: Path | None = None) -> RunningStack:
    return load_target(directory or Path(os.environ.get("HADIR_STACK_DIR") or DEFAULT_DIRECTORY))


def _auth_endpoint() -> Endpoint | None:
    try:
        return roster_endpoint(_running())
    except StackError:
        return None


def _herd_target(directory: Path | None) -> StackTarget:
    try:
        return herd_target(_running(directory))
    except StackError as error:
        raise HerdError(f"Sistem tidak ditemukan: {error}", str(error)) from error


app.command()(stack)
app.command()(run)
app.command()(demo)
register_herd(app, _herd_target, name="peak")
register_herd(app, _herd_target, name="herd")
app.command()(bench)
app.add_typer(make_roster_app(_auth_endpoint), name="roster")

if __name__ == "__main__":
    main()
