"""supervisord as the owner of the stack's processes: its configuration, and talking to it. Owner: stack.

Why supervisord: docs/decisions/0010-process-manager.md.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.stack import guard
from ops.stack.layout import Layout, write_secret
from ops.stack.part import Part, StackError

# A crash loop ends here: each try waits a second longer than the one before it.
_START_RETRIES = 10
_LOG_BYTES = 20 * 1024 * 1024
_GUARD = Path(guard.__file__)
_ANSWER_SECONDS = 60.0
_START_SECONDS = 15.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        # Where the transport's close() looks for what to close.
        self._connection = host, connection
        return connection


@dataclass(frozen=True, slots=True)
class PartState:
    """What supervisord says of a process: `name`, `state` ("RUNNING", "FATAL", ...), `pid` (0: none)."""

    name: str
    state: str
    pid: int
    reason: str


class Supervisor:
    """The supervisord that listens at `socket`: to be started as this process's child, or another process's."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, layout: Layout, parts: Iterable[Part]) -> None:
        """Starts supervisord, which dies with this process, with all `parts` known and none running.

        Raises:
            StackError: it does not answer.
        """
        log = layout.log("supervisor")
        configuration = layout.root / "supervisord.conf"
        configuration.write_text(_configuration(layout, self._socket, parts), encoding="utf-8")
        argv = [
            sys.executable,
            "-m",
            "supervisor.supervisord",
            "--nodaemon",
            "--configuration",
            str(configuration),
        ]
        spec: dict[str, object] = {
            "argv": argv,
            "env": {"LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore"},
            "cwd": str(layout.root),
            # In order, also when nobody is left to say so.
            "death_signal": signal.SIGTERM,
            "is_supervisor": True,
        }
        path = write_secret(layout.specs / "supervisor.json", json.dumps(spec))
        self._socket.unlink(missing_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                guard_command(path),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={guard.PARENT_VARIABLE: str(os.getpid())},
                # A terminal's Ctrl-C reaches the stack's owner only, which then stops the parts in order.
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"supervisord does not start:\n{tail(log)}")
            time.sleep(0.02)

    @property
    def started(self) -> bool:
        """Whether `start` was called, by this process."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Supervisord's process id."""
        return int(self._call("getPID"))

    def states(self) -> dict[str, PartState]:
        """The state of every part by name.

        Raises:
            StackError: supervisord is gone.
        """
        return {
            info["name"]: PartState(info["name"], info["statename"], info["pid"], info["spawnerr"])
            for info in self._call("getAllProcessInfo")
        }

    def start_part(self, name: str) -> None:
        """Starts a stopped part; returns before it is ready.

        Raises:
            StackError: it runs already, or cannot be started.
        """
        self._call("startProcess", name, False)

    def stop_part(self, name: str) -> None:
        """Stops a part in order and waits until it has ended; it stays stopped. Nothing happens if it is already."""
        if self.states()[name].state in {"STOPPED", "EXITED", "FATAL"}:
            return
        self._call("stopProcess", name, True)

    def stop_parts(self, names: Sequence[str]) -> None:
        """Stops several at the same time and waits for all."""
        for name in names:
            if self.states()[name].state not in {"STOPPED", "EXITED", "FATAL"}:
                self._call("stopProcess", name, False)
        while any(self.states()[name].state in {"STOPPING", "RUNNING", "STARTING"} for name in names):
            time.sleep(0.02)

    def signal_part(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to a part's process. After SIGKILL supervisord starts it again, as after any crash."""
        self._call("signalProcess", name, str(int(number)))

    def shut_down(self) -> None:
        """Ends supervisord, and with it every part, in order. Nothing happens if it is gone already."""
        with suppress(StackError):
            self._call("shutdown")
        if self._process is not None:
            try:
                self._process.wait(timeout=_ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                # Every part has asked the kernel to be ended when its parent is.
                self._process.kill()
                self._process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except StackError:
            return False

    def _call(self, method: str, *arguments: object) -> Any:
        transport = _UnixTransport(self._socket)
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
                return getattr(server.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise StackError(f"supervisord: {method}{arguments}: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException) as error:
            raise StackError(f"supervisord does not answer at {self._socket}: {error}") from error


def _configuration(layout: Layout, socket: Path, parts: Iterable[Part]) -> str:
    lines = [
        "[unix_http_server]",
        f"file = {_escaped(socket)}",
        "chmod = 0600",
        "[supervisord]",
        "nodaemon = true",
        "loglevel = warn",
        f"logfile = {_escaped(layout.log('supervisord'))}",
        "logfile_maxbytes = 1MB",
        f"pidfile = {_escaped(layout.run / 'supervisord.pid')}",
        f"childlogdir = {_escaped(layout.logs)}",
        "minfds = 1024",
        # So it does not warn that it runs as root, where it does.
        *(["user = root"] if os.geteuid() == 0 else []),
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for part in parts:
        lines += _program(layout, part)
    return "\n".join(lines) + "\n"


def _program(layout: Layout, part: Part) -> Sequence[str]:
    spec = {
        "argv": part.argv,
        "env": dict(part.env),
        "cwd": str(part.cwd),
        "death_signal": part.stop_signal,
        "identity": part.identity,
        "uid": part.uid,
        "gid": part.gid,
        "nofile": part.open_files,
    }
    # A file, because supervisord's own lists of arguments and variables have quoting rules and no privacy.
    path = write_secret(layout.specs / f"{part.name}.json", json.dumps(spec))
    command = " ".join(f'"{_escaped(word)}"' for word in guard_command(path))
    return [
        f"[program:{part.name}]",
        f"command = {command}",
        f"priority = {part.rank}",
        "autostart = false",
        "autorestart = true",
        "startsecs = 1",
        f"startretries = {_START_RETRIES}",
        f"stopsignal = {part.stop_signal.name.removeprefix('SIG')}",
        f"stopwaitsecs = {part.stop_seconds}",
        "killasgroup = true",
        "redirect_stderr = true",
        f"stdout_logfile = {_escaped(layout.log(part.name))}",
        f"stdout_logfile_maxbytes = {_LOG_BYTES}",
        "stdout_logfile_backups = 1",
    ]


def guard_command(spec: Path) -> tuple[str, ...]:
    """The command that becomes what `spec` describes. Isolated: nothing around it can change what it imports."""
    return (sys.executable, "-I", "-S", str(_GUARD), str(spec))


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, indented; a short note when there are none."""
    try:
        text = log.read_bytes()[-8192:].decode(errors="replace")
    except OSError:
        text = ""
    found = text.splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in found) or "    (its log is empty)"


def _escaped(value: object) -> str:
    # supervisord expands %(name)s in its values.
    return str(value).replace("%", "%%")
