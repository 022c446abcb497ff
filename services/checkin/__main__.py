"""`python -m services.checkin serve|migrate`: the service itself, and its schema brought up to date."""

import argparse
import sys
from pathlib import Path

from chassis.database import migrate
from chassis.lifecycle import main as run_service
from chassis.settings import MigrateSettings, load_settings
from services.checkin.config import CheckinSettings

SCHEMA = "checkin"
RUNTIME_ROLE = "hadir_checkin"


def main() -> None:
    """Run one of the commands; settings come from HADIR_... variables."""
    parser = argparse.ArgumentParser(prog="python -m services.checkin", description=__doc__)
    parser.add_argument("command", choices=("serve", "migrate"))
    command = parser.parse_args(sys.argv[1:]).command
    if command == "migrate":
        url = load_settings(MigrateSettings).migrate_database_url.get_secret_value()
        migrate(
            url,
            schema=SCHEMA,
            script_location=Path(__file__).parent / "migrations",
            runtime_role=RUNTIME_ROLE,
        )
        return
    settings = load_settings(CheckinSettings)
    from services.checkin.adapters.keys import KeyFileError  # noqa: PLC0415  a migration needs none of these
    from services.checkin.adapters.policy_file import PolicyFileError  # noqa: PLC0415
    from services.checkin.bootstrap import serve  # noqa: PLC0415

    try:
        run_service(lambda: serve(settings))
    except (KeyFileError, PolicyFileError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
