"""`python -m services.reporting serve|migrate|rebuild`: the service, its schema, and its read model made anew."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

from chassis.database import migrate
from chassis.lifecycle import main as run_service
from chassis.settings import MigrateSettings, load_settings
from services.reporting.adapters.policy_file import PolicyInvalidError, load_policies
from services.reporting.config import ReportingSettings

SCHEMA = "reporting"
RUNTIME_ROLE = "hadir_reporting"


def main(argv: Sequence[str] | None = None) -> None:
    """Run one of the commands; settings come from HADIR_... variables."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "migrate":
        migrate(
            load_settings(MigrateSettings).migrate_database_url.get_secret_value(),
            schema=SCHEMA,
            script_location=Path(__file__).parent / "migrations",
            runtime_role=RUNTIME_ROLE,
        )
        return
    settings = load_settings(ReportingSettings)
    from services.reporting import bootstrap  # noqa: PLC0415 - a migration needs none of it

    try:
        load_policies(settings.policy_file, zone=settings.zone)
    except PolicyInvalidError as error:
        _complain(f"HADIR_POLICY_FILE: {error}")
    if arguments.command == "serve":
        run_service(lambda: bootstrap.serve(settings))
        return
    try:
        done = asyncio.run(
            bootstrap.run_rebuild(
                settings,
                first=arguments.first,
                last=arguments.last,
                roster_since=arguments.roster_since,
            )
        )
    except bootstrap.RebuildNotPossibleError as error:
        _complain(str(error))
    sys.stdout.write(
        f"people {done.people}, revoked devices {done.revoked}, taps {done.taps}, of these new {done.new_taps}\n"
    )


def _complain(problem: str) -> NoReturn:
    sys.stderr.write(f"{problem}\n")
    raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.reporting", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="consume events and answer, until SIGTERM")
    commands.add_parser("migrate", help="bring the schema up to date (HADIR_MIGRATE_DATABASE_URL)")
    again = commands.add_parser(
        "rebuild", help="fill or mend the read model from auth and checkin; idempotent"
    )
    again.add_argument("--first", type=date.fromisoformat, help="first work date of taps, YYYY-MM-DD")
    again.add_argument("--last", type=date.fromisoformat, help="last work date of taps, YYYY-MM-DD")
    again.add_argument(
        "--roster-since",
        type=date.fromisoformat,
        help="the roster was known from this date on, so absences from it on are told (default: now)",
    )
    return parser


if __name__ == "__main__":
    main()
