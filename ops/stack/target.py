"""A running stack, as others see it: where to call it, and how to look into it. Owner: stack."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ops.stack.layout import write_secret
from ops.stack.part import StackError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseTarget(_Frozen):
    """PostgreSQL.

    Attributes:
        host, port, name: of the database.
        administrator: a role that may read everything; for verifying a run, never for a service.
        password_file: of that role.
    """

    host: str
    port: int
    name: str
    administrator: str
    password_file: Path

    def password(self) -> str:
        """The administrator's password."""
        return self.password_file.read_text(encoding="utf-8")


class NatsTarget(_Frozen):
    """NATS.

    Attributes:
        url: without credentials.
        password_files: by user ("consumer" reads events, "operator" may do everything); empty for an existing
            NATS, whose URL says it all.
    """

    url: str
    password_files: Mapping[str, Path]


class StackTarget(_Frozen):
    """Everything a tool needs to work with a running stack.

    Attributes:
        directory: of the stack; its logs are in `log/`.
        owner_pid: the process that started it and will stop it.
        regency, zone: as the services were told.
        edge: base URL for JSON ("http://127.0.0.1:8080"); gRPC and gRPC-Web are served there too. None without edge.
        grpc: direct gRPC addresses ("127.0.0.1:port") by replica ("auth", "checkin-1", "checkin-2", "reporting").
        metrics: URLs of Prometheus metrics by part.
        database, nats: None when the stack has none.
        supervisor: path of supervisord's socket.
        descriptors: a descriptor set of all public services (for `grpcurl -protoset`). None without edge.
    """

    directory: Path
    owner_pid: int
    regency: str
    zone: str
    edge: str | None
    grpc: Mapping[str, str]
    metrics: Mapping[str, str]
    database: DatabaseTarget | None
    nats: NatsTarget | None
    supervisor: Path
    descriptors: Path | None

    @property
    def edge_grpc(self) -> str:
        """The edge as a gRPC target ("127.0.0.1:8080").

        Raises:
            StackError: this stack has no edge.
        """
        if self.edge is None:
            raise StackError("this stack was started without an edge")
        return self.edge.split("://", 1)[1]


def save_target(target: StackTarget, path: Path) -> None:
    """Writes the description of a running stack; only this user can read it."""
    write_secret(path, target.model_dump_json(indent=1))


def load_target(directory: Path) -> StackTarget:
    """The stack that runs in `directory`.

    Raises:
        StackError: none does.
    """
    path = directory / "stack.json"
    hint = f"no stack runs in {directory}: start one with `make run`"
    try:
        target = StackTarget.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise StackError(hint) from error
    except ValidationError as error:
        raise StackError(f"{path} cannot be understood: {error}") from error
    try:
        os.kill(target.owner_pid, 0)
    except ProcessLookupError as error:
        raise StackError(hint) from error
    except PermissionError:
        # Somebody else's process, so it is there.
        pass
    return target
