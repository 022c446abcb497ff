"""`hadir run` as a person uses it: it starts, what it prints works, Ctrl-C stops it. Owner: stack."""

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from ops.demo.wiring import edge_apart
from ops.roster.synthetic import Regency, write_regency
from ops.stack.layout import REPOSITORY
from ops.stack.stack import ALL_PARTS, StackOptions, running_stack

ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen'}", "COLUMNS": "200"}


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.timeout(180)
def test_what_it_prints_works_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    roster, schools = write_regency(Regency(people=30), tmp_path / "files")
    argv = [sys.executable, "-m", "ops.cli", "run", "--dir", str(tmp_path / "stack")]
    argv += ["--roster", str(roster), "--schools", str(schools), "--edge-port", str(edge_apart()["edge"])]
    process = subprocess.Popen(
        argv, cwd=REPOSITORY, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        printed = read_until(process, "Ctrl-C untuk berhenti")
        lines = printed.splitlines()
        assert [line.split()[0] for line in lines[:8]] == [
            "postgres", "nats", "schemas", "auth", "checkin-1", "checkin-2", "reporting", "envoy",
        ]  # fmt: skip
        assert "Diterima 30" in printed
        token = next(line.removeprefix("TOKEN=") for line in lines if line.startswith("TOKEN="))
        answers = [
            called_by_curl(line.replace("$TOKEN", token)) for line in lines if line.startswith("curl ")
        ]
        assert [sorted(answer) for answer in answers[:1]] == [["keys"]]
        assert len(answers[1]["people"]) == 3
        assert "rows" in answers[2] or "total" in answers[2]
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= len(ALL_PARTS)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert "Berhenti / stopped." in rest
        assert process.returncode == 0
        gone, alive = psutil.wait_procs(started, timeout=5)
        assert not alive
        assert len(gone) == len(started)
    finally:
        process.kill()
        process.communicate()


def called_by_curl(line: str) -> dict[str, Any]:
    """What the printed curl line gets; curl itself may not be on the machine."""
    words = shlex.split(line)
    headers = dict(value.split(": ", 1) for flag, value in pairwise(words) if flag == "-H")
    return get_json(words[-1], headers)


def get_json(url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=10)
    try:
        connection.request("GET", f"{where.path}?{where.query}", headers=headers or {})
        answer = connection.getresponse()
        found = json.loads(answer.read())
        assert (answer.status, type(found)) == (200, dict), found
    finally:
        connection.close()
    return dict(found)


@pytest.mark.timeout(180)
def test_an_existing_postgresql_and_nats_are_used(tmp_path: Path) -> None:
    backends = StackOptions(directory=tmp_path / "backends", parts=("postgres", "nats"))
    with running_stack(backends) as existing:
        database, nats = existing.target.database, existing.target.nats
        assert database is not None
        assert nats is not None
        password = nats.password_files["operator"].read_text()
        options = StackOptions(
            directory=tmp_path / "stack",
            parts=tuple(part for part in ALL_PARTS if part not in {"postgres", "nats"}),
            ports=edge_apart(),
            database_url=database.url(),
            nats_url=nats.url.replace("nats://", f"nats://operator:{password}@"),
        )
        with running_stack(options) as stack:
            assert "postgres" not in stack.pids()
            assert stack.target.database is not None
            assert stack.target.database.port == database.port
            assert get_json(f"{stack.target.edge}/v1/jwks")["keys"]
