"""The `hadir` command: mounts what each tool offers. Owner: stack; a verb's options belong to its tool."""

import os
from pathlib import Path

import typer

from ops.roster.commands import make_app as make_roster_app
from ops.roster.service import Endpoint
from ops.stack.commands import stack
from ops.stack.layout import DEFAULT_DIRECTORY
from ops.stack.part import StackError
from ops.stack.target import load_target

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


def _local_auth() -> Endpoint | None:
    """Where the running local stack's auth answers; None without one."""
    try:
        target = load_target(Path(os.environ.get("HADIR_STACK_DIR") or DEFAULT_DIRECTORY))
        return Endpoint(target.grpc["auth"], target.staff_token())
    except (StackError, KeyError):
        return None


app.command()(stack)
app.add_typer(make_roster_app(_local_auth), name="roster")

if __name__ == "__main__":
    main()
