"""The stack: PostgreSQL, NATS, the three services and the edge on one machine, started, watched and stopped.

Owner: stack. `make run`, `make demo` and the tests use this very class, so what they show is the same thing.
"""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ops.database import DATABASE, SERVICES, Administrator, bootstrap, owner_role, runtime_role
from ops.gateway.render import TlsFiles
from ops.stack.envoy import prepare_envoy
from ops.stack.layout import DEFAULT_DIRECTORY, Layout, kept_password, locked, prepare_layout, write_secret
from ops.stack.nats import USERS, prepare_nats, user_password
from ops.stack.part import NotReadyError, Part, StackError
from ops.stack.ports import choose_ports
from ops.stack.postgres import ADMINISTRATOR, prepare_postgres
from ops.stack.readiness import wait_until
from ops.stack.services import (
    REPLICAS,
    Surroundings,
    max_connections,
    migrate_and_mint,
    service_part,
    staff_token_file,
)
from ops.stack.supervisor import Supervisor, tail
from ops.stack.target import DatabaseTarget, NatsTarget, RunningStack, save_target

ALL_PARTS = ("postgres", "nats", *(name for names in REPLICAS.values() for name in names), "envoy")

# Used when free; a second stack on the machine gets others.
WELL_KNOWN_PORTS = {"edge": 8080}

Report = Callable[[str], None]

# supervisord's words for a process it will not start again, and for one that ended although it was just started.
_GIVEN_UP = frozenset({"FATAL", "STOPPED"})
_NEVER_STARTED = _GIVEN_UP | {"EXITED", "BACKOFF"}


@dataclass(frozen=True, kw_only=True, slots=True)
class StackOptions:
    """What a stack is to be.

    Attributes:
        directory: where it keeps its data, logs and secrets.
        parts: which parts to start; each with those it needs must be named.
        regency: four digits; zone: IANA time zone.
        ports: configured ports by name ("edge", "postgres", "nats", "auth", ...); others are free ones.
        edge_host: address the edge listens on.
        tls: the edge's certificate.
        database_url: administrator's URL of an existing PostgreSQL, in place of the part.
        nats_url: URL of an existing NATS, in place of the part.
        drain_seconds: how long a stopping replica waits for the edge to look elsewhere.
        movable_clock: the services' clock can be moved (`Stack.move_clock`); tests and the demo only.
        clock_offset: seconds by which a movable clock is moved from the start.
    """

    directory: Path = DEFAULT_DIRECTORY
    parts: tuple[str, ...] = ALL_PARTS
    regency: str = "5202"
    zone: str = "Asia/Makassar"
    ports: Mapping[str, int] = field(default_factory=dict)
    edge_host: str = "127.0.0.1"
    tls: TlsFiles | None = None
    database_url: str | None = None
    nats_url: str | None = None
    drain_seconds: float = 2.0
    movable_clock: bool = False
    clock_offset: float = 0.0


class Stack:
    """A stack of this process; it ends with this process, however that ends.

    Not thread-safe. `report` gets one line about each part as it becomes ready.
    """

    def __init__(self, options: StackOptions, report: Report = lambda _line: None) -> None:
        self._options = options
        self._report = report
        self._layout = prepare_layout(options.directory)
        self._held = ExitStack()
        self._supervisor = Supervisor(self._layout.socket("supervisor"))
        self._parts: dict[str, Part] = {}
        self._around: Surroundings | None = None
        self._target: RunningStack | None = None

    def start(self) -> RunningStack:
        """Starts all parts in order, each when those before it are ready.

        Raises:
            StackError: a part does not become ready; the message holds the end of its log. Everything is stopped.
        """
        self._held.enter_context(locked(self._layout))
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops all parts, the edge first, PostgreSQL last. Nothing happens when nothing runs."""
        try:
            if self._supervisor.started:
                for names in reversed(list(self._by_rank())):
                    self._supervisor.stop_parts(names)
                self._supervisor.shut_down()
        finally:
            self._layout.state.unlink(missing_ok=True)
            if not self._layout.run.is_relative_to(self._layout.root):
                shutil.rmtree(self._layout.run, ignore_errors=True)
            self._held.close()

    @property
    def target(self) -> RunningStack:
        """How to reach the running stack.

        Raises:
            StackError: it is not running.
        """
        if self._target is None:
            raise StackError("the stack is not running")
        return self._target

    @property
    def layout(self) -> Layout:
        """Where it keeps what it has."""
        return self._layout

    def stop_part(self, name: str) -> None:
        """Stops one part in order and leaves it stopped: "PostgreSQL is away"."""
        self._supervisor.stop_part(name)

    def start_part(self, name: str) -> None:
        """Starts a stopped part again and waits until it is ready.

        Raises:
            StackError: it does not become ready.
        """
        self._supervisor.start_part(name)
        self._await(self._parts[name], over=_NEVER_STARTED)

    def kill_part(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a part a signal: SIGKILL (the supervisor starts it again), SIGSTOP and SIGCONT (it hangs)."""
        self._supervisor.signal_part(name, number)

    def await_part(self, name: str) -> None:
        """Waits until a part is ready, for instance after `kill_part`.

        Raises:
            StackError: it does not become ready.
        """
        self._await(self._parts[name], over=_GIVEN_UP)

    def pids(self) -> dict[str, int]:
        """The process of each part; 0: it has none now."""
        return {name: state.pid for name, state in self._supervisor.states().items()}

    def log(self, name: str) -> Path:
        """The path of a part's log."""
        return self._layout.log(name)

    def move_clock(self, seconds: float) -> None:
        """Moves the clock of every service; kept over restarts. Within a second all have seen it.

        Raises:
            StackError: the stack was not started with a movable clock.
        """
        if not self._options.movable_clock:
            raise StackError("this stack's clock cannot be moved")
        write_secret(self._layout.clock_offset, f"{seconds}\n")

    # ------------------------------------------------------------------ start

    def _start(self) -> RunningStack:
        if self._options.movable_clock:
            self.move_clock(self._options.clock_offset)
        ports = choose_ports(self._port_names(), self._options.ports, WELL_KNOWN_PORTS)
        self._around = around = self._surroundings(ports)
        parts = list(self._describe(around, ports))
        self._parts = {part.name: part for part in parts}
        self._supervisor.start(self._layout, parts)
        for rank, names in enumerate(self._by_rank()):
            for name in names:
                self._supervisor.start_part(name)
            for name in names:
                took = self._await(self._parts[name], over=_NEVER_STARTED)
                self._report(f"{name:<10} {self._parts[name].address:<30} ready in {took * 1000:.0f} ms")
            if rank == 0:
                self._prepare_backends(around)
        self._target = self._describe_target(around, ports)
        save_target(self._target, self._layout.state)
        return self._target

    def _has(self, name: str) -> bool:
        return name in self._options.parts

    def _replicas(self) -> Iterator[tuple[str, str]]:
        for service, names in REPLICAS.items():
            for name in names:
                if self._has(name):
                    yield service, name

    def _port_names(self) -> list[str]:
        names = []
        if self._has("postgres") and self._options.database_url is None:
            names.append("postgres")
        if self._has("nats") and self._options.nats_url is None:
            names += ["nats", "nats-monitor"]
        for _service, name in self._replicas():
            names += [name, f"{name}-metrics"]
        if self._has("envoy"):
            names += ["edge", "edge-metrics"]
        return names

    def _administrator(self, ports: Mapping[str, int]) -> tuple[Administrator, str]:
        """Who administers the database, and the database's name."""
        url = self._options.database_url
        if url is None:
            password = kept_password(self._layout, "postgres")
            own = Administrator(
                host="127.0.0.1", port=ports.get("postgres", 0), user=ADMINISTRATOR, password=password
            )
            return own, DATABASE
        parsed = urlsplit(url)
        if not parsed.hostname or not parsed.username:
            raise StackError(
                "HADIR_DATABASE_URL must be postgresql://administrator:password@host:port/database"
            )
        existing = Administrator(
            host=parsed.hostname,
            port=parsed.port or 5432,
            user=unquote(parsed.username),
            password=unquote(parsed.password or ""),
            database=parsed.path.lstrip("/") or "postgres",
        )
        return existing, DATABASE

    def _surroundings(self, ports: Mapping[str, int]) -> Surroundings:
        administrator, database = self._administrator(ports)
        roles = [role(service) for service in SERVICES for role in (owner_role, runtime_role)]
        own_nats = self._options.nats_url is None
        return Surroundings(
            layout=self._layout,
            regency=self._options.regency,
            zone=self._options.zone,
            database_host=administrator.host,
            database_port=administrator.port,
            database=database,
            nats_url=self._options.nats_url or f"nats://127.0.0.1:{ports.get('nats', 0)}",
            nats_passwords={user: user_password(self._layout, user) for user in USERS} if own_nats else {},
            role_passwords={role: kept_password(self._layout, role) for role in roles},
            drain_seconds=self._options.drain_seconds,
            movable_clock=self._options.movable_clock,
        )

    def _describe(self, around: Surroundings, ports: Mapping[str, int]) -> Iterator[Part]:
        if "postgres" in ports:
            yield prepare_postgres(self._layout, port=ports["postgres"], max_connections=max_connections())
        if "nats" in ports:
            yield prepare_nats(self._layout, port=ports["nats"], monitor_port=ports["nats-monitor"])
        targets = {service: f"127.0.0.1:{ports.get(names[0], 0)}" for service, names in REPLICAS.items()}
        for service, name in self._replicas():
            yield service_part(
                around,
                service,
                name,
                grpc_port=ports[name],
                metrics_port=ports[f"{name}-metrics"],
                targets=targets,
            )
        if "edge" in ports:
            yield prepare_envoy(
                self._layout,
                listen=f"{self._options.edge_host}:{ports['edge']}",
                metrics_port=ports["edge-metrics"],
                sockets={
                    service: [self._layout.socket(name) for name in names]
                    for service, names in REPLICAS.items()
                },
                tls=self._options.tls,
            )

    def _prepare_backends(self, around: Surroundings) -> None:
        """Between the databases and the services: roles, schemas, migrations, tokens."""
        if self._has("postgres") or self._options.database_url is not None:
            administrator, database = self._administrator({"postgres": around.database_port})
            asyncio.run(bootstrap(administrator, around.role_passwords, database=database))
        if any(True for _ in self._replicas()):
            start = time.monotonic()
            migrate_and_mint(around)
            self._report(f"{'schemas':<10} {', '.join(SERVICES):<30} ready in {_ms(start)} ms")

    def _by_rank(self) -> Iterator[list[str]]:
        for rank in sorted({part.rank for part in self._parts.values()}):
            yield [part.name for part in self._parts.values() if part.rank == rank]

    def _await(self, part: Part, *, over: Container[str]) -> float:
        def still_running() -> None:
            state = self._supervisor.states()[part.name]
            if state.state in over:
                raise StackError(
                    f"{part.name} ended before it was ready:\n{tail(self._layout.log(part.name))}"
                )

        try:
            return wait_until(part.probe, part.ready_seconds, still_running)
        except NotReadyError as error:
            raise StackError(
                f"{part.name} is not ready after {part.ready_seconds:.0f} s ({error}):\n"
                + tail(self._layout.log(part.name))
            ) from error

    def _describe_target(self, around: Surroundings, ports: Mapping[str, int]) -> RunningStack:
        replicas = [name for _service, name in self._replicas()]
        metrics = {name: f"http://127.0.0.1:{ports[f'{name}-metrics']}/metrics" for name in replicas}
        edge = self._parts.get("envoy")
        if edge is not None:
            metrics["envoy"] = f"http://127.0.0.1:{ports['edge-metrics']}/metrics"
        return RunningStack(
            directory=self._layout.root,
            owner_pid=os.getpid(),
            regency=around.regency,
            zone=around.zone,
            edge=edge.address if edge is not None else None,
            edge_certificate=self._options.tls.certificate if self._options.tls is not None else None,
            grpc={name: f"127.0.0.1:{ports[name]}" for name in replicas},
            metrics=metrics,
            database=self._database_target(ports),
            nats=self._nats_target(around),
            staff_token_file=staff_token_file(self._layout) if self._has("auth") else None,
            supervisor=self._layout.socket("supervisor"),
            descriptors=self._layout.edge / "descriptors.binpb" if edge is not None else None,
        )

    def _database_target(self, ports: Mapping[str, int]) -> DatabaseTarget | None:
        if not self._has("postgres") and self._options.database_url is None:
            return None
        administrator, database = self._administrator(ports)
        return DatabaseTarget(
            host=administrator.host,
            port=administrator.port,
            name=database,
            administrator=administrator.user,
            password_file=write_secret(self._layout.secret("administrator.password"), administrator.password),
        )

    def _nats_target(self, around: Surroundings) -> NatsTarget | None:
        if not self._has("nats") and self._options.nats_url is None:
            return None
        users = around.nats_passwords
        files = {user: self._layout.secret(f"nats-{user}.password") for user in users}
        return NatsTarget(url=around.nats_url, password_files=files)


@contextmanager
def running_stack(options: StackOptions, report: Report = lambda _line: None) -> Iterator[Stack]:
    """A stack for the time of a `with` block.

    Raises:
        StackError: see Stack.start.
    """
    stack = Stack(options, report)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def _ms(start: float) -> str:
    return f"{(time.monotonic() - start) * 1000:.0f}"
