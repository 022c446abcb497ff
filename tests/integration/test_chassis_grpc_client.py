"""How services call each other: tokens that rotate, a deadline on each call, safe retries. Owner: chassis."""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from chassis.errors import ErrorRule, ErrorTable, ServiceError
from chassis.grpc_client import TokenFile, channel
from tests.fakes.scratch import Caller, drained, refusal, serving, text


class AwayError(ServiceError):
    pass


class BusyError(ServiceError):
    pass


def _wait(exc: Any) -> timedelta | None:
    wait = exc.params.get("wait")
    return None if wait is None else timedelta(seconds=wait)


ERRORS: ErrorTable = {
    AwayError: ErrorRule(grpc.StatusCode.UNAVAILABLE, "AWAY", "Pergi.", "Away.", retry_after=_wait),
    BusyError: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY", "Sibuk.", "Busy.", retry_after=_wait),
}


async def _seen_metadata(request: Any, context: Any) -> str:
    seen = dict(context.invocation_metadata())
    return f"{seen.get('authorization')} | {seen['user-agent']} | {context.time_remaining()}"


def _failing(times: int, error: Exception) -> tuple[list[float], Callable[[Any, Any], Any]]:
    tries: list[float] = []

    async def behaviour(request: Any, context: Any) -> str:
        tries.append(time.monotonic())
        if len(tries) <= times:
            raise error
        return "answered"

    return tries, behaviour


async def test_the_token_goes_along_and_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    async with (
        serving(tmp_path, behaviour=_seen_metadata) as running,
        channel(running.direct, token_file=file, user_agent="hadir-checkin") as opened,
    ):
        caller = Caller(opened)
        answer = StringValue.FromString(await caller.unary("Echo")(text("x"))).value
        assert answer.startswith("Bearer first | hadir-checkin")
        replacement = tmp_path / "new"
        replacement.write_text("second")
        replacement.rename(file)
        for answers in (
            [await caller.unary("Echo")(text("x"))],
            await drained(caller.stream("Count")(text("x"))),
            await drained(caller.stream("Write")(text("x"))),
        ):
            assert StringValue.FromString(answers[-1]).value.startswith("Bearer second")
        own = (("authorization", "Bearer own"),)
        answer = StringValue.FromString(await caller.unary("Echo")(text("x"), metadata=own)).value
        assert answer.startswith("Bearer own")


async def test_all_kinds_of_calls_pass(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, channel(running.edge) as opened:
        caller = Caller(opened)
        assert await caller.send("Collect")(iter([])) == text("0")
        assert await drained(caller.chat("Chat")(iter([]))) == []


def test_a_token_file_that_is_gone_for_a_moment_keeps_its_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = TokenFile(file)
    with pytest.raises(FileNotFoundError):
        token()
    file.write_text("a")
    assert token() == "a"
    file.unlink()
    assert token() == "a"
    file.write_text("b")
    os.utime(file, ns=(1, 1))
    assert token() == "b"


async def test_a_call_has_a_deadline_and_a_stream_has_none_of_its_own(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, behaviour=_seen_metadata) as running,
        channel(running.direct, timeout=timedelta(seconds=7)) as opened,
    ):
        caller = Caller(opened)
        remaining = StringValue.FromString(await caller.unary("Echo")(text("x"))).value.rpartition("| ")[2]
        assert 5 < float(remaining) < 8
        remaining = StringValue.FromString(
            await caller.unary("Echo")(text("x"), timeout=60)
        ).value.rpartition("| ")[2]
        assert 50 < float(remaining) < 61
        answers = await drained(caller.stream("Count")(text("x")))
        assert StringValue.FromString(answers[-1]).value.endswith("| None")


async def test_unavailable_is_tried_again_a_few_times(tmp_path: Path) -> None:
    tries, behaviour = _failing(2, AwayError())
    async with (
        serving(tmp_path, behaviour=behaviour, errors=ERRORS) as running,
        channel(running.direct) as opened,
    ):
        assert await Caller(opened).unary("Echo")(text("x")) == text("answered")
    assert len(tries) == 3


async def test_trying_again_has_an_end(tmp_path: Path) -> None:
    tries, behaviour = _failing(100, AwayError())
    async with (
        serving(tmp_path, behaviour=behaviour, errors=ERRORS) as running,
        channel(running.direct) as opened,
    ):
        assert (await refusal(Caller(opened).unary("Echo")(text("x")))).reason == "AWAY"
    assert len(tries) == 4


async def test_when_to_come_back_is_obeyed(tmp_path: Path) -> None:
    tries, behaviour = _failing(1, AwayError(wait=0.7))
    async with (
        serving(tmp_path, behaviour=behaviour, errors=ERRORS) as running,
        channel(running.direct) as opened,
    ):
        assert await Caller(opened).unary("Echo")(text("x")) == text("answered")
    assert 0.65 < tries[1] - tries[0] < 2


async def test_who_is_told_to_wait_for_a_slot_is_not_retried_behind_its_back(tmp_path: Path) -> None:
    tries, behaviour = _failing(1, BusyError(wait=0.1))
    async with (
        serving(tmp_path, behaviour=behaviour, errors=ERRORS) as running,
        channel(running.direct) as opened,
    ):
        assert (await refusal(Caller(opened).unary("Echo")(text("x")))).reason == "BUSY"
    assert len(tries) == 1


async def test_a_peer_that_is_away_is_an_error_within_the_deadline_and_found_again(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/direct.sock"
    async with channel(target, timeout=timedelta(seconds=2)) as opened:
        caller = Caller(opened)
        started = time.monotonic()
        refused = await refusal(caller.unary("Echo")(text("x")))
        assert refused.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        assert time.monotonic() - started < 3
        async with serving(tmp_path, grpc_listen=target):
            answer = caller.unary("Echo")(text("x"), timeout=10, wait_for_ready=True)
            assert await asyncio.wait_for(answer, 10) == text("x")
