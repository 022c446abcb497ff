"""What a caller gets when something is wrong, from the real server over a real connection. Owner: chassis."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from prometheus_client import CollectorRegistry

from chassis.errors import ErrorRule, ErrorTable, NotYetAvailable, retry_delay
from chassis.grpc_server import MAX_RECEIVE_BYTES, Access, GrpcServer, MethodPolicy
from hadir.checkin.v1 import checkin_service_pb2 as pb
from hadir.checkin.v1 import checkin_service_pb2_grpc as pb_grpc
from tests.fakes.clock import FakeClock
from tests.fakes.scratch import METHODS, SERVICE, calling, drained, refusal, serving, settings_for, text

UUID = "0190b5d5-5b5d-7b5d-8b5d-0190b5d55b5d"
VALID = pb.GetClockRequest(device_id=UUID, clock_session_id=UUID).SerializeToString()
INVALID = pb.GetClockRequest(device_id="x", clock_session_id=UUID).SerializeToString()
MALFORMED = {"noise": b"\xff\xff\xff", "cut short": VALID[:-5], "no UTF-8": b"\x0a\x02\xff\xfe"}


class FullError(Exception):
    def __init__(self, wait: float) -> None:
        super().__init__("full")
        self.params = {"wait": wait}


ERRORS: ErrorTable = {
    FullError: ErrorRule(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        "Antrian penuh; kembali dalam {wait} detik.",
        "The queue is full; come back in {wait} seconds.",
        retry_after=lambda exc: timedelta(seconds=exc.params["wait"]),
    )
}


def _raising(error: Exception) -> Any:
    async def behaviour(request: Any, context: Any) -> str:
        raise error

    return behaviour


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_body_that_is_no_protobuf_is_the_callers_mistake(tmp_path: Path, kind: str) -> None:
    async with serving(tmp_path) as running, calling(running.direct) as caller:
        body = MALFORMED[kind]
        for call in (
            caller.unary("Ruled")(body),
            drained(caller.stream("Count")(b"\xff")),
            caller.send("Collect")(iter([VALID, body])),
            drained(caller.chat("Chat")(iter([body]))),
        ):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
            assert set(refused.texts) == {"id-ID", "en"}
        assert await caller.unary("Ruled")(VALID)


async def test_broken_rules_name_the_fields_in_every_kind_of_call(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, calling(running.direct) as caller:
        for call in (
            caller.unary("Ruled")(INVALID),
            caller.send("Collect")(iter([VALID, INVALID])),
            drained(caller.chat("Chat")(iter([VALID, INVALID]))),
        ):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
            assert refused.fields == ["device_id"]
        assert [len(running.scratch.seen)] == [2]


async def test_a_services_error_says_when_to_come_back(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, errors=ERRORS, behaviour=_raising(FullError(1.5))) as running,
        calling(running.direct) as caller,
    ):
        refused = await refusal(caller.unary("Echo")(text("x")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert refused.texts["id-ID"] == "Antrian penuh; kembali dalam 1.5 detik."
        assert retry_delay(refused.status) == timedelta(seconds=1.5)
        assert refused.metadata["grpc-retry-pushback-ms"] == "1500"
        assert refused.metadata["retry-after"] == "2"


async def test_answers_of_a_stream_stay_sent_when_it_fails(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, errors=ERRORS, behaviour=_raising(FullError(1))) as running,
        calling(running.direct) as caller,
    ):
        for name, expected in (("Count", ["0", "1", "2"]), ("Write", ["0"])):
            got: list[bytes] = []
            refused = await refusal(drained(caller.stream(name)(text("x")), got))
            assert [StringValue.FromString(item).value for item in got] == expected
            assert refused.reason == "QUEUE_FULL"


async def test_the_unexpected_is_internal_with_a_number_and_the_server_lives_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serving(tmp_path, behaviour=_raising(RuntimeError("password=geheim"))) as running,
        calling(running.direct) as caller,
    ):
        for call in (caller.unary("Echo")(text("x")), drained(caller.stream("Count")(text("x")))):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
            assert b"geheim" not in refused.status.SerializeToString()
            logged = [vars(record).get("error_id", "none") for record in caplog.records]
            assert any(error_id in refused.texts["id-ID"] for error_id in logged)
        assert await caller.unary("Ruled")(VALID)


async def test_an_answer_of_the_wrong_type_is_internal_and_not_unknown(tmp_path: Path) -> None:
    async def behaviour(request: Any, context: Any) -> Any:
        return 7

    async with serving(tmp_path, behaviour=behaviour) as running, calling(running.direct) as caller:
        assert (await refusal(caller.unary("Echo")(text("x")))).code is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError("db"), TimeoutError("pool")], ids=lambda error: type(error).__name__
)
async def test_a_database_that_is_away_is_unavailable(tmp_path: Path, error: Exception) -> None:
    async with serving(tmp_path, behaviour=_raising(error)) as running, calling(running.direct) as caller:
        refused = await refusal(caller.unary("Echo")(text("x")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert retry_delay(refused.status) is not None


async def test_what_a_handler_aborts_stays_as_it_is(tmp_path: Path) -> None:
    async def behaviour(request: Any, context: Any) -> str:
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "mine", (("x-own", "1"),))
        raise AssertionError

    async with serving(tmp_path, behaviour=behaviour) as running, calling(running.direct) as caller:
        refused = await refusal(caller.unary("Echo")(text("x")))
        assert (refused.code, refused.metadata["x-own"]) == (grpc.StatusCode.ALREADY_EXISTS, "1")


async def test_a_handlers_own_trailers_survive_its_error(tmp_path: Path) -> None:
    async def behaviour(request: Any, context: Any) -> str:
        context.set_trailing_metadata((("x-own", "1"),))
        raise NotYetAvailable

    async with serving(tmp_path, behaviour=behaviour) as running, calling(running.direct) as caller:
        refused = await refusal(caller.unary("Echo")(text("x")))
        assert (refused.code, refused.metadata["x-own"]) == (grpc.StatusCode.UNIMPLEMENTED, "1")


async def test_a_method_left_out_is_not_yet_available() -> None:
    servicer: Any = pb_grpc.CheckinServiceServicer  # abstract to mypy only
    service = pb.DESCRIPTOR.services_by_name["CheckinService"]
    server = GrpcServer(
        settings=settings_for(),
        clock=FakeClock(),
        registry=CollectorRegistry(),
        verifier=None,
        errors={},
        access={f"/{service.full_name}/{method.name}": Access.public() for method in service.methods},
    )
    server.add(pb_grpc.add_CheckinServiceServicer_to_server, servicer())
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        stub: Any = pb_grpc.CheckinServiceStub(channel)
        for call in (
            stub.GetReceiptKeys(pb.GetReceiptKeysRequest()),
            drained(stub.ListTaps(pb.ListTapsRequest())),
        ):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_YET_AVAILABLE")
    await server.stop()


async def test_a_call_that_hangs_ends_at_its_methods_limit(tmp_path: Path) -> None:
    async def hang(request: Any, context: Any) -> str:
        await asyncio.Event().wait()
        return ""

    limited = {METHODS[0]: MethodPolicy(Access.public(), timeout=timedelta(milliseconds=50))}
    async with (
        serving(tmp_path, behaviour=hang, policies=limited) as running,
        calling(running.direct) as caller,
    ):
        for timeout in (None, 60):
            refused = await refusal(caller.unary("Echo")(text("x"), timeout=timeout))
            assert (refused.code, refused.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert running.scratch.cancelled.is_set()


async def test_the_callers_deadline_cancels_the_handler_and_is_counted(tmp_path: Path) -> None:
    async def hang(request: Any, context: Any) -> str:
        await asyncio.Event().wait()
        return ""

    async with serving(tmp_path, behaviour=hang) as running, calling(running.direct) as caller:
        refused = await refusal(caller.unary("Echo")(text("x"), timeout=0.2))
        assert refused.code is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(running.scratch.cancelled.wait(), 5)
        labels = {"method": METHODS[0], "code": "DEADLINE_EXCEEDED"}
        assert running.registry.get_sample_value("grpc_server_handled_total", labels) == 1


async def test_a_caller_that_goes_away_cancels_the_handler(tmp_path: Path) -> None:
    entered = asyncio.Event()

    async def hang(request: Any, context: Any) -> str:
        entered.set()
        await asyncio.Event().wait()
        return ""

    async with serving(tmp_path, behaviour=hang) as running, calling(running.direct) as caller:
        call = caller.unary("Echo")(text("x"))
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(running.scratch.cancelled.wait(), 5)
        labels = {"method": METHODS[0], "code": "CANCELLED"}
        assert running.registry.get_sample_value("grpc_server_handled_total", labels) == 1
        assert running.registry.get_sample_value("grpc_server_in_flight", {"method": METHODS[0]}) == 0


async def test_ten_megabytes_are_refused_below_our_code(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, calling(running.direct) as caller:
        refused = await refusal(caller.unary("Echo")(text("x" * 10_000_000)))
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert running.scratch.seen == []
        assert await caller.unary("Echo")(text("x" * (MAX_RECEIVE_BYTES - 100)))


async def test_an_unknown_method_is_unimplemented(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, calling(running.direct) as caller:
        assert (await refusal(caller.unary("Absent")(b""))).code is grpc.StatusCode.UNIMPLEMENTED


async def test_every_outcome_is_counted(tmp_path: Path) -> None:
    async with serving(tmp_path, errors=ERRORS) as running, calling(running.direct) as caller:
        await caller.unary("Ruled")(VALID)
        await refusal(caller.unary("Ruled")(INVALID))
        await drained(caller.stream("Count")(text("x")))
        value = running.registry.get_sample_value
        ruled, count = f"/{SERVICE}/Ruled", f"/{SERVICE}/Count"
        assert value("grpc_server_handled_total", {"method": ruled, "code": "OK"}) == 1
        assert value("grpc_server_handled_total", {"method": ruled, "code": "INVALID_ARGUMENT"}) == 1
        assert value("grpc_server_handled_total", {"method": count, "code": "OK"}) == 1
        assert value("grpc_server_handling_seconds_count", {"method": ruled}) == 2
