"""auth's commands: serve, migrate, mint-token, jwks. Owner: auth."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from chassis.clock import ClockRefusedError
from chassis.lifecycle import main as run
from chassis.logging import configure_logging
from chassis.settings import MigrateSettings, load_settings
from services.auth.adapters.tokens import (
    KeyFileError,
    load_signing_keys,
    mint_access_token,
    mint_service_token,
)
from services.auth.config import AuthSettings, KeySettings
from services.auth.domain.units import Breadth, Role, Unit, parse_unit

RUNTIME_ROLE = "hadir_auth"

# A person's token by hand is for a day's work; a service's file is renewed by its operator.
LONGEST_STAFF = timedelta(hours=24)
LONGEST_SERVICE = timedelta(days=400)

_TTL = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,31}")


class UsageError(ValueError):
    """The command line asks for something that there is not; the message says what to write instead."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the process's exit code: 0 done, 2 wrong use or settings."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "serve":
                _serve()
            case "migrate":
                _migrate()
            case "mint-token":
                sys.stdout.write(_mint(options) + "\n")
            case _:
                sys.stdout.write(_jwks() + "\n")
    except (UsageError, KeyFileError, ClockRefusedError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.auth",
        description="Hadir's auth service. Settings come from HADIR_ variables.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service until SIGTERM")
    commands.add_parser(
        "migrate", help="bring schema auth to its newest revision (HADIR_MIGRATE_DATABASE_URL)"
    )
    mint = commands.add_parser(
        "mint-token",
        help="print a token, signed with this machine's key; for its operators, until staff sign in",
    )
    who = mint.add_mutually_exclusive_group(required=True)
    who.add_argument("--role", action="append", metavar="ROLE", help="a staff role; may be repeated")
    who.add_argument("--service", metavar="NAME", help="another service, as checkin")
    mint.add_argument("--unit", metavar="UNIT", help="regency:5202, district:52.02.01 or school:50203000")
    mint.add_argument("--subject", metavar="NAME", default="console", help="whom the trail names: staff:NAME")
    mint.add_argument("--ttl", metavar="TIME", default="1h", help="validity: 90s, 30m, 12h, 30d (default 1h)")
    commands.add_parser("jwks", help="print the public keys as a JWK Set")
    return parser


def _serve() -> None:
    settings = load_settings(AuthSettings)
    configure_logging(service="auth", level=settings.log_level)
    from services.auth.bootstrap import serve  # noqa: PLC0415 - other commands need no gRPC and no database

    run(lambda: serve(settings))


def _migrate() -> None:
    settings = load_settings(MigrateSettings)
    configure_logging(service="auth-migrate", level="INFO")
    from chassis.database import migrate  # noqa: PLC0415 - as above

    migrate(
        settings.migrate_database_url.get_secret_value(),
        schema="auth",
        script_location=Path(__file__).parent / "migrations",
        runtime_role=RUNTIME_ROLE,
    )


def _mint(options: argparse.Namespace) -> str:
    lifetime = read_ttl(options.ttl)
    if options.service is not None:
        if options.unit is not None:
            raise UsageError("a service's token has no --unit: it acts in the whole regency")
        if not _SERVICE.fullmatch(options.service):
            raise UsageError("--service is a name such as checkin")
        if lifetime > LONGEST_SERVICE:
            raise UsageError(f"--ttl of a service is at most {LONGEST_SERVICE.days}d")
        settings = load_settings(KeySettings)
        keys = load_signing_keys(settings.auth_signing_key.get_secret_value(), None)
        now = settings.clock().now()
        return mint_service_token(
            keys, service=options.service, regency=settings.regency, now=now, lifetime=lifetime
        )
    roles, unit = _roles(options.role), _unit(options.unit)
    if lifetime > LONGEST_STAFF:
        raise UsageError("--ttl of staff is at most 24h")
    settings = load_settings(KeySettings)
    if unit.breadth is Breadth.REGENCY and unit.code != settings.regency:
        raise UsageError(f"--unit names regency {unit.code}; this deployment serves {settings.regency}")
    keys = load_signing_keys(settings.auth_signing_key.get_secret_value(), None)
    return mint_access_token(
        keys,
        subject=f"staff:{options.subject}",
        roles=roles,
        unit=unit,
        regency=settings.regency,
        now=settings.clock().now(),
        lifetime=lifetime,
    )


def read_ttl(text: str) -> timedelta:
    """A time as 90s, 30m, 12h or 30d.

    Raises:
        UsageError: it is none.
    """
    found = _TTL.fullmatch(text)
    if not found:
        raise UsageError(f"--ttl is a time such as 12h, not {text[:20]!r}")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def _roles(names: Sequence[str]) -> list[Role]:
    staff = [role for role in Role if role is not Role.SERVICE]
    try:
        roles = sorted({Role(name) for name in names})
    except ValueError:
        roles = []
    if not roles or Role.SERVICE in roles:
        raise UsageError(f"--role is one of {', '.join(staff)}")
    return roles


def _unit(text: str | None) -> Unit:
    try:
        return parse_unit(text or "")
    except ValueError:
        raise UsageError("--unit is regency:5202, district:52.02.01 or school:50203000") from None


def _jwks() -> str:
    settings = load_settings(KeySettings)
    keys = load_signing_keys(settings.auth_signing_key.get_secret_value(), settings.auth_retired_keys_dir)
    return json.dumps({"keys": list(keys.jwks)}, indent=2)


if __name__ == "__main__":
    sys.exit(main())
