"""The stack itself: it starts, it stops, and nothing of it outlives whoever started it. Owner: stack."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import asyncpg
import nats as nats_client
import psutil
import pytest
from nats.errors import Error as NatsError

from chassis.jetstream import STREAM, ensure_stream, stream_config
from ops.stack import guard
from ops.stack.layout import REPOSITORY, prepare_layout
from ops.stack.part import StackError
from ops.stack.postgres import choose_identity
from ops.stack.stack import Stack, StackOptions, running_stack
from tests.parts import Database, Nats

BACKENDS = ("postgres", "nats")
AS_ROOT = os.geteuid() == 0

# Starts a stack, says so, and waits to be killed.
OWNER = """
import sys, time
from pathlib import Path
from ops.stack.stack import Stack, StackOptions
stack = Stack(StackOptions(directory=Path(sys.argv[1]), parts=("postgres", "nats")))
target = stack.start()
print("ready", flush=True)
time.sleep(60)
"""


def processes_of(directory: Path) -> list[psutil.Process]:
    """Whoever has the stack's directory in its command line, its working directory or its parent's."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline()) + " " + process.cwd()
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
        if str(directory) in words and process.pid != os.getpid():
            found.append(process)
    return found


def wait_until_gone(directory: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while found := processes_of(directory):
        assert time.monotonic() < deadline, f"still there: {found}"
        time.sleep(0.05)


def start_owner(directory: Path, **kwargs: object) -> "subprocess.Popen[str]":
    owner = subprocess.Popen(
        (sys.executable, "-c", OWNER, str(directory)),
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen'}"},
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    return owner


def test_says_a_line_for_each_part_and_leaves_no_process(tmp_path: Path) -> None:
    lines: list[str] = []
    with running_stack(StackOptions(directory=tmp_path, parts=(*BACKENDS, "envoy")), lines.append) as stack:
        assert [line.split()[0] for line in lines] == ["postgres", "nats", "envoy"]
        assert all("ready in" in line for line in lines)
        assert len(processes_of(tmp_path)) >= 4
        usage = stack.target.usage()
        assert set(usage) == {"supervisor", "postgres", "nats", "envoy"}
        assert all(0 < part.pss_mb < 200 for part in usage.values())
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "stack.json").exists()


def test_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    options = StackOptions(directory=tmp_path, parts=("postgres",))
    with running_stack(options) as stack:
        assert stack.target.database is not None
        psql(stack, "CREATE TABLE auth.kept AS SELECT 42 AS answer")
    with running_stack(options) as stack:
        assert psql(stack, "SELECT answer FROM auth.kept") == "42"


def psql(stack: Stack, statement: str) -> str:
    import asyncio

    async def ask() -> str:
        assert stack.target.database is not None
        connection = await asyncpg.connect(stack.target.database.url())
        try:
            return str(await connection.fetchval(statement))
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("whom", ["owner", "supervisor"])
def test_nothing_survives_a_kill_9(tmp_path: Path, whom: str) -> None:
    owner = start_owner(tmp_path)
    try:
        children = psutil.Process(owner.pid).children()
        victim = owner.pid if whom == "owner" else children[0].pid
        os.kill(victim, signal.SIGKILL)
        if whom == "supervisor":
            owner.kill()
    finally:
        owner.communicate()
    wait_until_gone(tmp_path, 10)


def test_a_crashed_part_comes_back_and_a_stopped_one_stays_away(tmp_path: Path) -> None:
    with running_stack(StackOptions(directory=tmp_path, parts=BACKENDS)) as stack:
        stack.kill_part("nats")
        stack.await_part("nats")
        stack.stop_part("postgres")
        assert stack.target.database is not None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((stack.target.database.host, stack.target.database.port))
        stack.start_part("postgres")
        assert psql(stack, "SELECT 1") == "1"


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = StackOptions(directory=tmp_path, parts=BACKENDS, ports={"nats": port})
        with pytest.raises(StackError, match=f"port {port}, configured for nats, is taken"):
            Stack(options).start()


def test_a_part_that_cannot_start_shows_its_log_and_stops_the_rest(tmp_path: Path) -> None:
    options = StackOptions(directory=tmp_path, parts=BACKENDS)
    with running_stack(options):
        pass
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(StackError, match=r"(?s)postgres ended before it was ready.*incompatible"):
        Stack(options).start()
    assert processes_of(tmp_path) == []


def test_a_second_stack_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    options = StackOptions(directory=tmp_path, parts=("nats",))
    with running_stack(options), pytest.raises(StackError, match="already runs"):
        Stack(options).start()


def test_sockets_have_a_short_private_home_however_long_the_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    with running_stack(StackOptions(directory=deep, parts=("nats",))) as stack:
        run = stack.layout.run
        assert len(str(stack.layout.socket("checkin-1"))) <= 107
        assert run.stat().st_mode & 0o777 == 0o700
    assert not run.exists()


def test_secrets_are_private_and_differ_between_stacks(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        with running_stack(StackOptions(directory=tmp_path / name, parts=("postgres",))) as stack:
            files = list((stack.layout.root / "secrets").iterdir())
            assert files
            assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
            contents.append({file.read_text() for file in files})
    assert not contents[0] & contents[1]


@pytest.mark.skipif(not AS_ROOT, reason="a user who is not root has no other identity to take")
class TestAsRoot:
    """PostgreSQL refuses uid 0."""

    def test_postgres_is_in_its_own_user_namespace_and_the_files_stay_roots(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        layout = prepare_layout(tmp_path / "stack")
        if choose_identity(layout)[0] != "namespace":
            pytest.skip("this machine lets nobody make user namespaces")
        with running_stack(StackOptions(directory=tmp_path / "stack", parts=("postgres",))) as stack:
            assert psql(stack, "SELECT 1") == "1"
            assert stack.layout.postgres_data.stat().st_uid == 0
        assert tmp_path.stat().st_mode & 0o777 == 0o700

    def test_below_another_users_private_directory_it_runs_as_nobody(self, tmp_path: Path) -> None:
        private = tmp_path / "home"
        private.mkdir(mode=0o700)
        os.chown(private, 4242, 4242)
        with running_stack(StackOptions(directory=private / "stack", parts=("postgres",))) as stack:
            assert psql(stack, "SELECT 1") == "1"
            owner = stack.layout.postgres_data.stat().st_uid
            assert owner == pwd.getpwnam("nobody").pw_uid
        assert private.stat().st_mode & 0o777 == 0o700
        assert private.stat().st_uid == 4242

    def test_as_a_user_everything_runs_as_that_user(self, tmp_path: Path) -> None:
        # In a user namespace a process is not root and owns root's files: a user in the checkout of their own.
        spec = {
            "identity": "namespace",
            "uid": 1000,
            "gid": 1000,
            "argv": [sys.executable, "-c", OWNER, str(tmp_path)],
            "env": {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen'}"},
            "cwd": str(REPOSITORY),
            "death_signal": signal.SIGKILL,
        }
        path = tmp_path / "user.json"
        path.write_text(json.dumps(spec))
        owner = subprocess.Popen(
            (sys.executable, guard.__file__, str(path)),
            stdout=subprocess.PIPE,
            text=True,
            env={guard.PARENT_VARIABLE: str(os.getpid())},
        )
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        owner.terminate()
        owner.communicate()
        wait_until_gone(tmp_path, 10)


async def test_the_database_keeps_what_it_acknowledges(database: Database) -> None:
    connection = await database.connect()
    try:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await connection.fetchval("SELECT current_setting($1)", setting) == "on", setting
        assert await connection.fetchval("SHOW server_version_num") >= "180000"
    finally:
        await connection.close()


async def test_no_service_reads_anothers_schema(database: Database) -> None:
    owner = await database.connect("hadir_checkin_owner")
    try:
        await owner.execute("CREATE TABLE checkin.mine (id int)")
        await owner.execute("GRANT SELECT ON checkin.mine TO hadir_checkin")
    finally:
        await owner.close()
    for role, may in (("hadir_checkin", True), ("hadir_auth", False), ("hadir_reporting_owner", False)):
        connection = await database.connect(role)
        try:
            if may:
                assert await connection.fetch("SELECT * FROM checkin.mine") == []
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute("CREATE TABLE checkin.more (id int)")
            else:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch("SELECT * FROM checkin.mine")
        finally:
            await connection.close()


async def test_nats_lets_a_service_speak_for_itself_only(nats: Nats) -> None:
    refusals: list[str] = []

    async def refused(error: Exception) -> None:
        refusals.append(str(error))

    client = await nats_client.connect(
        nats.url, user="auth", password=nats.password("auth"), error_cb=refused, allow_reconnect=False
    )
    try:
        jetstream = client.jetstream(timeout=1)
        await ensure_stream(jetstream, stream_config())
        await jetstream.publish("hadir.v1.5202.auth.person_changed", b"x")
        with pytest.raises(NatsError):
            await jetstream.publish("hadir.v1.5202.checkin.tap_accepted", b"x", timeout=0.3)
        assert any("permissions violation" in refusal for refusal in refusals)
        with pytest.raises(NatsError):
            await jetstream.delete_stream(STREAM)
    finally:
        await client.close()


def test_nats_syncs_every_write(nats: Nats) -> None:
    where = json.loads((nats.stack.layout.root / "nats.conf").read_text())["http"]
    with urllib.request.urlopen(f"http://{where}/jsz?config=true") as answer:
        assert json.load(answer)["config"]["sync_always"] is True
