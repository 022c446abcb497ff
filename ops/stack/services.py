"""The three services as parts of the stack: which settings each is given, and its one-off commands.

Owner: stack. This is the only place that knows the services' HADIR_ variables; their meaning stands in
chassis/settings.py and services/*/config.py.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.database import owner_role, runtime_role
from ops.stack.guard import PARENT_VARIABLE
from ops.stack.layout import REPOSITORY, Layout, kept_bytes, kept_signing_key, write_secret
from ops.stack.part import Part, StackError
from ops.stack.readiness import grpc_serving

# Replicas by service, in the order in which they start: checkin waits for auth's devices.
REPLICAS: Mapping[str, Sequence[str]] = {
    "auth": ("auth",),
    "checkin": ("checkin-1", "checkin-2"),
    "reporting": ("reporting",),
}
RANKS = {"auth": 20, "checkin": 30, "reporting": 30}

# Connections of one process; their sum is what max_connections is computed from.
POOL_SIZES = {"auth": 8, "checkin": 6, "reporting": 6}
# Three that PostgreSQL keeps for its administrator, the migrations, what verifies a run, and a person with psql.
SPARE_CONNECTIONS = 20

# Importing grpc, SQLAlchemy and the rest on a busy machine of two cores.
_READY_SECONDS = 60.0
_COMMAND_SECONDS = 180
_SERVICE_CREDENTIAL_TTL = "30d"
# A working day, with the evening before it.
_STAFF_CREDENTIAL_TTL = "12h"
_OPEN_FILES = 16384


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What the services of one stack have in common.

    Attributes:
        layout: of the stack.
        regency: its four digits.
        zone: IANA time zone of its work dates.
        database_host, database_port, database: of PostgreSQL.
        nats_url: of NATS, without credentials.
        nats_passwords: by user; empty when the URL of an existing NATS says it all.
        drain_seconds: how long a stopping replica waits for the edge to look elsewhere.
        movable_clock: reads `layout.clock_offset`.
    """

    layout: Layout
    regency: str
    zone: str
    database_host: str
    database_port: int
    database: str
    nats_url: str
    nats_passwords: Mapping[str, str]
    role_passwords: Mapping[str, str]
    drain_seconds: float
    movable_clock: bool

    def database_url(self, role: str) -> str:
        """SQLAlchemy's URL for a role. The passwords are URL-safe by construction."""
        where = f"{self.database_host}:{self.database_port}/{self.database}"
        return f"postgresql+asyncpg://{role}:{self.role_passwords[role]}@{where}"


def max_connections() -> int:
    """PostgreSQL's max_connections for this stack: every pool full, and the spare ones."""
    pools = sum(POOL_SIZES[service] * len(replicas) for service, replicas in REPLICAS.items())
    return pools + SPARE_CONNECTIONS


def service_part(
    around: Surroundings,
    service: str,
    name: str,
    *,
    grpc_port: int,
    metrics_port: int,
    targets: Mapping[str, str],
) -> Part:
    """One replica of a service.

    Args:
        around: of the stack.
        service: "auth", "checkin" or "reporting".
        name: of the replica.
        grpc_port: for direct gRPC, on 127.0.0.1; callers there are not believed about their arrival.
        metrics_port: of /metrics, on 127.0.0.1.
        targets: where each service is called by the others.
    """
    socket = around.layout.socket(name)
    env = _environment(around, service)
    env |= {
        "HADIR_GRPC_LISTEN": f"127.0.0.1:{grpc_port}",
        "HADIR_EDGE_LISTEN": f"unix:{socket}",
        "HADIR_METRICS_LISTEN": f"127.0.0.1:{metrics_port}",
    }
    env |= {f"HADIR_{peer.upper()}_TARGET": target for peer, target in targets.items() if peer != service}
    return Part(
        name=name,
        argv=(sys.executable, "-m", f"services.{service}", "serve"),
        env=env,
        cwd=REPOSITORY,
        address=f"127.0.0.1:{grpc_port}",
        # Over the edge's own way in.
        probe=grpc_serving(f"unix:{socket}"),
        rank=RANKS[service],
        ready_seconds=_READY_SECONDS,
        open_files=_OPEN_FILES,
    )


def migrate_and_mint(around: Surroundings) -> None:
    """Brings the three schemas to their newest revision, each as its owner, and writes the run's tokens.

    All side by side: each of these commands spends most of its second on being imported.

    Raises:
        StackError: one failed; its output.
    """
    commands = {(service, "migrate"): _start(around, service, "migrate") for service in REPLICAS}
    tokens: dict[Path, tuple[str, ...]] = {
        _service_token(around.layout, service): ("--service", service, "--ttl", _SERVICE_CREDENTIAL_TTL)
        for service in REPLICAS
        if service != "auth"
    }
    agency = ("--role", "personnel_agency", "--unit", f"regency:{around.regency}")
    tokens[staff_token_file(around.layout)] = (*agency, "--ttl", _STAFF_CREDENTIAL_TTL)
    minted = {path: _start(around, "auth", "mint-token", *how) for path, how in tokens.items()}
    commands |= {("auth", f"mint-token for {path.name}"): process for path, process in minted.items()}
    try:
        outputs = {what: _output(process, *what) for what, process in commands.items()}
    finally:
        for process in commands.values():
            process.kill()
            process.communicate()
    for path in minted:
        write_secret(path, outputs["auth", f"mint-token for {path.name}"])


def staff_token_file(layout: Layout) -> Path:
    """An access token with the personnel agency's role over the whole regency, made anew at each start."""
    return layout.secret("staff.token")


def _start(around: Surroundings, service: str, *arguments: str) -> "subprocess.Popen[str]":
    owner = owner_role(service)
    owner_url = write_secret(around.layout.secret(f"{owner}.url"), around.database_url(owner))
    return subprocess.Popen(  # noqa: S603 - our own service
        (sys.executable, "-m", f"services.{service}", *arguments),
        cwd=REPOSITORY,
        env=_environment(around, service) | {"HADIR_MIGRATE_DATABASE_URL_FILE": str(owner_url)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _output(process: "subprocess.Popen[str]", service: str, what: str) -> str:
    output, errors = process.communicate(timeout=_COMMAND_SECONDS)
    if process.returncode != 0:
        raise StackError(f"{service} {what} failed:\n{output}{errors}")
    return output.strip()


def _environment(around: Surroundings, service: str) -> dict[str, str]:
    layout, role = around.layout, runtime_role(service)
    # A person's own HADIR_ settings (HADIR_QUEUE_LENGTH=...) reach the services; what the stack decides wins.
    env = {name: value for name, value in os.environ.items() if name.startswith("HADIR_")}
    for name in ("HADIR_DATABASE_URL", PARENT_VARIABLE):
        env.pop(name, None)
    env |= {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "gen"))),
        "PYTHONUNBUFFERED": "1",
        "LC_ALL": "C.UTF-8",
        "HADIR_ENVIRONMENT": "development",
        "HADIR_REGENCY": around.regency,
        "HADIR_ZONE": around.zone,
        # A serving process never has the owner's connection, nor a migration the serving role's.
        (
            "HADIR_DATABASE_URL_FILE" if role == runtime_role(service) else "HADIR_MIGRATE_DATABASE_URL_FILE"
        ): str(write_secret(layout.secret(f"{role}.url"), around.database_url(role))),
        "HADIR_DATABASE_POOL_SIZE": str(POOL_SIZES[service]),
        "HADIR_NATS_URL": around.nats_url,
        "HADIR_DRAIN_WAIT_SECONDS": str(around.drain_seconds),
    }
    if service in around.nats_passwords:
        env["HADIR_NATS_USER"] = service
        env["HADIR_NATS_PASSWORD_FILE"] = str(layout.secret(f"nats-{service}.password"))
    if around.movable_clock:
        env["HADIR_CLOCK_OFFSET_FILE"] = str(layout.clock_offset)
    return env | _own_secrets(layout, service)


def _own_secrets(layout: Layout, service: str) -> dict[str, str]:
    if service == "auth":
        return {"HADIR_AUTH_SIGNING_KEY_FILE": str(kept_signing_key(layout, "auth-signing-key.pem"))}
    secrets: dict[str, Path] = {"HADIR_SERVICE_TOKEN_FILE": _service_token(layout, service)}
    if service == "checkin":
        # The same for both replicas: any of them answers for a tap that another one took.
        secrets["HADIR_RECEIPT_KEY_FILE"] = kept_signing_key(layout, "receipt-key.pem")
        secrets["HADIR_ANCHOR_KEY_FILE"] = kept_bytes(layout, "anchor-key.hex")
    return {name: str(path) for name, path in secrets.items()}


def _service_token(layout: Layout, service: str) -> Path:
    return layout.secret(f"{service}.service-token")
