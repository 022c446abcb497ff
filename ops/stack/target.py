"""A running stack, as others see it: where to call it, and how to look into it. Owner: stack."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from ops.stack.layout import write_secret
from ops.stack.part import StackError
from ops.stack.supervisor import Supervisor
from ops.stack.usage import PartUsage, measure_processes


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

    def url(self) -> str:
        """postgresql://... of the administrator."""
        password = quote(self.password_file.read_text(encoding="utf-8"), safe="")
        user = quote(self.administrator, safe="")
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{self.name}"


class NatsTarget(_Frozen):
    """NATS.

    Attributes:
        url: without credentials.
        password_files: by user ("consumer" reads events, "operator" may do everything); empty for an existing
            NATS, whose URL says it all.
    """

    url: str
    password_files: Mapping[str, Path]


class RunningStack(_Frozen):
    """Everything a tool needs to work with a running stack.

    Attributes:
        directory: of the stack; its logs are in `log/`.
        owner_pid: the process that started it and will stop it.
        regency, zone: as the services were told.
        edge: base URL for JSON ("http://127.0.0.1:8080"); gRPC and gRPC-Web are served there too. None without edge.
        edge_certificate: what the edge shows of itself, PEM, to be trusted by tools on this machine. None: plain HTTP.
        grpc: direct gRPC addresses ("127.0.0.1:port") by replica ("auth", "checkin-1", "checkin-2", "reporting").
        metrics: URLs of Prometheus metrics by part.
        database, nats: None when the stack has none.
        staff_token_file: holds an access token of the personnel agency for this run. None without auth.
        supervisor: path of supervisord's socket.
        descriptors: a descriptor set of all public services (for `grpcurl -protoset`). None without edge.
    """

    directory: Path
    owner_pid: int
    regency: str
    zone: str
    edge: str | None
    edge_certificate: Path | None
    grpc: Mapping[str, str]
    metrics: Mapping[str, str]
    database: DatabaseTarget | None
    nats: NatsTarget | None
    staff_token_file: Path | None
    supervisor: Path
    descriptors: Path | None

    def staff_token(self) -> str:
        """An access token of the personnel agency.

        Raises:
            StackError: this stack has no auth.
        """
        if self.staff_token_file is None:
            raise StackError("this stack was started without auth")
        return self.staff_token_file.read_text(encoding="ascii")

    def usage(self) -> dict[str, PartUsage]:
        """Memory and CPU of each running part, the supervisor's own included; also from another process.

        Raises:
            StackError: the stack is gone.
        """
        supervisor = Supervisor(self.supervisor)
        pids = {name: state.pid for name, state in supervisor.states().items() if state.pid}
        return measure_processes(pids, alone={"supervisor": supervisor.pid})

    @property
    def edge_grpc(self) -> str:
        """The edge as a gRPC target ("127.0.0.1:8080").

        Raises:
            StackError: this stack has no edge.
        """
        if self.edge is None:
            raise StackError("this stack was started without an edge")
        return self.edge.split("://", 1)[1]


def save_target(target: RunningStack, path: Path) -> None:
    """Writes the description of a running stack; only this user can read it."""
    write_secret(path, target.model_dump_json(indent=1))


def load_target(directory: Path) -> RunningStack:
    """The stack that runs in `directory`.

    Raises:
        StackError: none does.
    """
    path = directory / "stack.json"
    hint = f"no stack runs in {directory}: start one with `make run`"
    try:
        target = RunningStack.model_validate_json(path.read_bytes())
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
