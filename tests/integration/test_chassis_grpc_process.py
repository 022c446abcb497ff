"""A whole process: from its entry point to a signal, with a call in flight. Owner: chassis."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from tests.fakes.scratch import SERVICE, text

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import asyncio
from chassis.clock import SystemClock
from chassis.grpc_server import Access, GrpcServer
from chassis.lifecycle import Application, main
from chassis.logging import configure_logging
from chassis.metrics import new_registry
from chassis.settings import ServiceSettings, load_settings
from tests.fakes.scratch import METHODS, Scratch, add_scratch_to_server

async def behaviour(request, context):
    await asyncio.sleep(1)
    return type(asyncio.get_running_loop()).__module__

async def serve():
    settings = load_settings(ServiceSettings)
    configure_logging(service="scratch", level=settings.log_level)
    registry = new_registry()
    async with Application(registry=registry) as application:
        server = GrpcServer(settings=settings, clock=SystemClock(), registry=registry, verifier=None, errors={},
                            access=dict.fromkeys(METHODS, Access.public()))
        server.add(add_scratch_to_server, Scratch(behaviour))
        await server.start()
        application.on_stop("grpc", server.stop)
        await application.run_until_stopped()

main(serve)
"""


def _environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT}/gen",
        "HADIR_REGENCY": "5202",
        "HADIR_DATABASE_URL": "postgresql+asyncpg://nobody@nowhere/none",
        "HADIR_NATS_URL": "nats://nowhere:4222",
        "HADIR_GRPC_LISTEN": f"unix:{tmp_path}/scratch.sock",
        "HADIR_DRAIN_WAIT_SECONDS": "0.1",
    }


async def _start(environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", PROGRAM, env=environment, stderr=asyncio.subprocess.PIPE
    )


async def test_a_signal_ends_a_process_in_order(tmp_path: Path) -> None:
    process = await _start(_environment(tmp_path))
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/scratch.sock") as channel:
        echo: Any = channel.unary_unary(f"/{SERVICE}/Echo")
        assert (
            StringValue.FromString(await echo(text("x"), wait_for_ready=True, timeout=60)).value == "uvloop"
        )
        call = echo(text("x"))
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert StringValue.FromString(await call).value == "uvloop"
    _, stderr = await process.communicate()
    lines = [json.loads(line) for line in stderr.decode().splitlines()]
    assert process.returncode == 0, stderr
    assert [line["message"] for line in lines] == [
        "readiness changed", "serving", "stop asked for", "readiness changed", "draining", "stopping"
    ]  # fmt: skip
    assert {line["service"] for line in lines} == {"scratch"}


async def test_a_wrong_setting_is_told_before_anything_is_bound(tmp_path: Path) -> None:
    process = await _start(_environment(tmp_path) | {"HADIR_REGENCY": "52.02"})
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert stderr.decode().startswith("HADIR_REGENCY: ")
    assert stderr.count(b"\n") == 1
    assert not (tmp_path / "scratch.sock").exists()
