"""The edge's own behaviour, on the real Envoy with fakes behind it. Owner: gateway."""

import asyncio
import base64
import http.client
import json
import re
import time
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from google.rpc import error_details_pb2

from hadir.checkin.v1 import checkin_service_pb2, tap_pb2
from ops.gateway.render import MAX_BODY_BYTES
from ops.stack.services import REPLICAS
from ops.stack.stack import Stack, StackOptions, running_stack
from tests.edge import GET_CLOCK, Edge, details_of, grpc_call, new_edge, status_with

SUBMIT_TAP = "/hadir.checkin.v1.CheckinService/SubmitTap"
SUBMIT_TAPS = "/hadir.checkin.v1.CheckinService/SubmitTaps"
WATCH_BOARD = "/hadir.reporting.v1.ReportingService/WatchBoard"


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    options = StackOptions(directory=tmp_path_factory.mktemp("edge"), parts=("envoy",))
    with running_stack(options) as stack:
        yield stack


@pytest.fixture(scope="module")
async def shared(envoy: Stack) -> AsyncIterator[Edge]:
    edge = new_edge(envoy)
    await edge.start()
    yield edge
    await edge.stop()


@pytest.fixture
async def edge(shared: Edge) -> Edge:
    """Each test finds all fakes up and blank."""
    for name, upstream in shared.upstreams.items():
        upstream.answers.clear()
        upstream.seen.clear()
        if not upstream.serving:
            await shared.start_upstream(name)
    return shared


def seen_by_checkin(edge: Edge) -> list[dict[str, str]]:
    return [call.metadata for name in REPLICAS["checkin"] for call in edge.upstreams[name].seen]


async def grpc_error(
    edge: Edge, method: str, body: bytes = b""
) -> tuple[grpc.StatusCode, dict[str, object], dict[str, object]]:
    """The code, the metadata and the details by which a gRPC call fails."""
    async with grpc.aio.insecure_channel(edge.grpc) as channel:
        try:
            await grpc_call(channel, method, body)
        except grpc.aio.AioRpcError as error:
            metadata = dict(error.initial_metadata()) | dict(error.trailing_metadata())
            return error.code(), metadata, details_of(metadata["grpc-status-details-bin"])
    raise AssertionError("it succeeded")


class TestArrival:
    """Only the edge says when a call arrived."""

    async def test_over_json_the_callers_own_words_are_gone(self, edge: Edge) -> None:
        before = time.time_ns() // 1000
        answer = await edge.call(
            "GET",
            "/v1/clock",
            headers={
                "x-hadir-arrival": "1",
                "X-Hadir-Anything": "1",
                "x-envoy-upstream-rq-timeout-ms": "1",
                "x-envoy-retry-on": "5xx",
                "authorization": "DPoP certificate",
                "dpop": "proof",
            },
        )
        after = time.time_ns() // 1000
        assert answer.status == 200, answer
        (metadata,) = seen_by_checkin(edge)
        assert before - 1000 <= int(metadata["x-hadir-arrival"]) <= after + 1000
        assert metadata["authorization"] == "DPoP certificate"
        assert metadata["dpop"] == "proof"
        strangers = {"x-hadir-anything", "x-envoy-upstream-rq-timeout-ms", "x-envoy-retry-on"}
        assert not strangers & set(metadata)

    async def test_over_grpc_too(self, edge: Edge) -> None:
        before = time.time_ns() // 1000
        async with grpc.aio.insecure_channel(edge.grpc) as channel:
            forged = (("x-hadir-arrival", "1"), ("x-hadir-arrival", "2"), ("authorization", "Bearer t"))
            await grpc_call(channel, GET_CLOCK, metadata=forged)
        (metadata,) = seen_by_checkin(edge)
        assert before - 1000 <= int(metadata["x-hadir-arrival"]) <= time.time_ns() // 1000 + 1000
        assert metadata["authorization"] == "Bearer t"

    async def test_a_json_callers_service_knows_when_the_edge_gives_up(self, edge: Edge) -> None:
        left: list[float] = []

        async def answer(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:  # type: ignore[type-arg]
            left.append(context.time_remaining() or 0.0)
            return b""

        for name in REPLICAS["checkin"]:
            edge.upstreams[name].answers[GET_CLOCK] = answer
        assert (await edge.call("GET", "/v1/clock")).status == 200
        assert 8 < left[0] <= 10


class TestRefusalsByTheEdge:
    """The services' shape, in both languages, for both kinds of callers."""

    @pytest.mark.parametrize(
        ("body", "cause"),
        [
            (b"{not json", "xpected"),
            (b'{"tap":{"deviceCertificate":"\xff\xfe"}}', "UTF-8"),
            (b'{"tap":1}', ""),
        ],
        ids=["no JSON", "no UTF-8", "no tap"],
    )
    async def test_a_body_that_cannot_be_read(self, edge: Edge, body: bytes, cause: str) -> None:
        answer = await edge.call("POST", "/v1/taps", body)
        assert (answer.status, answer.json["code"]) == (400, 3)
        assert answer.detail("ErrorInfo")["reason"] == "EDGE_BAD_REQUEST"
        assert answer.detail("ErrorInfo")["domain"] == "hadir"
        assert cause in answer.detail("ErrorInfo")["metadata"]["cause"]
        assert answer.message("id-ID") != answer.message("en") == answer.json["message"]
        assert seen_by_checkin(edge) == []

    @pytest.mark.parametrize("path", ["/", "/v1/nothing", "/v1/clock?no_such=1", "/hadir.checkin.v1.No/Such"])
    async def test_a_path_that_does_not_exist(self, edge: Edge, path: str) -> None:
        answer = await edge.call("GET", path)
        assert answer.status in {400, 404}
        assert answer.detail("ErrorInfo")["reason"] in {"EDGE_BAD_REQUEST", "EDGE_NO_SUCH_CALL"}
        assert answer.message("id-ID")

    async def test_a_call_that_does_not_exist_over_grpc(self, edge: Edge) -> None:
        code, _, details = await grpc_error(edge, "/hadir.nothing.v1.No/Such")
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert details["ErrorInfo"].reason == "EDGE_NO_SUCH_CALL"  # type: ignore[attr-defined]
        assert {"id-ID", "en"} <= set(details)
        assert "RetryInfo" not in details

    @pytest.mark.parametrize("chunked", [True, False])
    async def test_ten_megabytes_over_json(self, edge: Edge, chunked: bool) -> None:
        body = b'{"tap":{"deviceCertificate":"' + b"a" * 10_000_000 + b'"}}'
        headers = {"transfer-encoding": "chunked"} if chunked else {}
        if chunked:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        answer = await edge.call("POST", "/v1/taps", body, headers)
        assert (answer.status, answer.json["code"]) == (413, 8)
        assert answer.detail("ErrorInfo")["reason"] == "EDGE_BODY_TOO_LARGE"
        assert "RetryInfo" not in str(answer.json)

    async def test_ten_megabytes_over_grpc(self, edge: Edge) -> None:
        code, _, details = await grpc_error(edge, SUBMIT_TAP, b"\x0a" * 10_000_000)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details["ErrorInfo"].reason == "EDGE_BODY_TOO_LARGE"  # type: ignore[attr-defined]
        assert "RetryInfo" not in details

    async def test_headers_of_twenty_kilobytes(self, edge: Edge) -> None:
        answer = await edge.call("GET", "/v1/clock", headers={"authorization": "a" * 20_000})
        assert (answer.status, answer.json["code"]) == (431, 8)
        assert answer.detail("ErrorInfo")["reason"] == "EDGE_HEADERS_TOO_LARGE"

    async def test_an_upstream_that_is_away_deals_out_different_times_to_come_back(self, edge: Edge) -> None:
        await edge.upstreams["reporting"].stop()
        answers = await asyncio.gather(*(edge.call("GET", "/v1/board") for _ in range(60)))
        for answer in answers:
            assert (answer.status, answer.json["code"]) == (503, 14)
            assert answer.detail("ErrorInfo")["reason"] == "EDGE_UPSTREAM_UNAVAILABLE"
            assert "/" not in answer.body.decode().replace("googleapis.com/", ""), "no address of ours"
            assert answer.message("id-ID")
        delays = [answer.detail("RetryInfo")["retryDelay"] for answer in answers]
        assert all(re.fullmatch(r"[1-8]\.[0-9]{3}s", delay) for delay in delays)
        # By lot, each of eight seconds equally likely: sixty callers on fewer than five is a chance of 10^-11.
        assert len({delay[0] for delay in delays}) >= 5
        for answer, delay in zip(answers, delays, strict=True):
            assert int(answer.headers["retry-after"]) == int(delay[0]) + 1

    async def test_an_upstream_that_is_away_over_grpc(self, edge: Edge) -> None:
        await edge.upstreams["reporting"].stop()
        code, metadata, details = await grpc_error(edge, "/hadir.reporting.v1.ReportingService/GetBoard")
        assert code is grpc.StatusCode.UNAVAILABLE
        assert details["ErrorInfo"].reason == "EDGE_UPSTREAM_UNAVAILABLE"  # type: ignore[attr-defined]
        seconds = details["RetryInfo"].retry_delay.seconds  # type: ignore[attr-defined]
        assert 1 <= seconds <= 8
        assert seconds * 1000 <= int(str(metadata["grpc-retry-pushback-ms"])) < (seconds + 1) * 1000


class TestRefusalsByAService:
    """They pass unharmed, in each caller's form."""

    @staticmethod
    def refuse(edge: Edge, code: grpc.StatusCode, details: bytes, *more: tuple[str, str]) -> None:
        async def answer(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:  # type: ignore[type-arg]
            trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", details), *more]
            await context.abort(code, "said by the service", trailing_metadata=tuple(trailers))
            raise AssertionError

        for name in REPLICAS["checkin"]:
            edge.upstreams[name].answers[SUBMIT_TAP] = answer

    async def test_a_slot_reaches_the_phone_and_is_not_tried_again(self, edge: Edge) -> None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(2500)
        details = status_with(
            8,
            error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="hadir", metadata={"ticket": "x"}),
            retry,
            error_details_pb2.BadRequest(
                field_violations=[error_details_pb2.BadRequest.FieldViolation(field="tap", description="d")]
            ),
            error_details_pb2.LocalizedMessage(locale="id-ID", message="Antre sebentar"),
        )
        self.refuse(edge, grpc.StatusCode.RESOURCE_EXHAUSTED, details, ("retry-after", "3"))
        answer = await edge.call("POST", "/v1/taps", b"{}")
        assert (answer.status, answer.json["code"]) == (429, 8)
        assert answer.headers["retry-after"] == "3"
        assert answer.detail("ErrorInfo")["reason"] == "QUEUE_FULL"
        assert answer.detail("RetryInfo")["retryDelay"] == "2.500s"
        assert answer.detail("BadRequest")["fieldViolations"][0]["field"] == "tap"
        assert answer.message("id-ID") == "Antre sebentar"
        assert len(seen_by_checkin(edge)) == 1

    async def test_unavailable_answers_keep_the_replicas_in_rotation(self, edge: Edge) -> None:
        self.refuse(edge, grpc.StatusCode.UNAVAILABLE, status_with(14, error_details_pb2.RetryInfo()))
        answers = await asyncio.gather(*(edge.call("POST", "/v1/taps", b"{}") for _ in range(40)))
        assert {answer.status for answer in answers} == {503}
        assert all(answer.json["message"] == "said by the service" for answer in answers)
        # Longer than the interval at which Envoy ejects.
        await asyncio.sleep(1.2)
        for name in REPLICAS["checkin"]:
            edge.upstreams[name].answers.clear()
            edge.upstreams[name].seen.clear()
        answers = await asyncio.gather(*(edge.call("POST", "/v1/taps", b"{}") for _ in range(40)))
        assert {answer.status for answer in answers} == {200}
        assert all(edge.upstreams[name].seen for name in REPLICAS["checkin"])


async def test_a_replica_that_is_gone_costs_no_caller_anything(edge: Edge) -> None:
    await edge.upstreams["checkin-1"].stop()
    answers = await asyncio.gather(*(edge.call("GET", "/v1/clock") for _ in range(40)))
    assert {answer.status for answer in answers} == {200}
    assert len(edge.upstreams["checkin-2"].seen) == 40


async def test_json_is_told_by_the_protos_and_shows_zeros(edge: Edge) -> None:
    response = checkin_service_pb2.SubmitTapResponse(
        receipt=tap_pb2.Receipt(content=b"\x01", signature=b"\x02")
    )
    for name in REPLICAS["checkin"]:
        edge.upstreams[name].answer(SUBMIT_TAP, response)
    body = json.dumps({"tap": {"evidence": base64.b64encode(b"e").decode(), "deviceCertificate": "c"}})
    answer = await edge.call("POST", "/v1/taps", body.encode(), {"content-type": "application/json"})
    assert answer.json["receipt"] == {"content": "AQ==", "signature": "Ag==", "keyId": ""}
    assert answer.json["duplicate"] is False
    (call,) = [call for name in REPLICAS["checkin"] for call in edge.upstreams[name].seen]
    request = checkin_service_pb2.SubmitTapRequest.FromString(call.body)
    assert (request.tap.evidence, request.tap.device_certificate) == (b"e", "c")


async def test_five_hundred_taps_at_their_largest_pass(edge: Edge) -> None:
    body = largest_batch()
    assert 2_500_000 < len(body) <= MAX_BODY_BYTES
    answer = await edge.call("POST", "/v1/taps:batch", body)
    assert answer.status == 200, answer
    (call,) = [call for name in REPLICAS["checkin"] for call in edge.upstreams[name].seen]
    assert call.method == SUBMIT_TAPS
    assert len(checkin_service_pb2.SubmitTapsRequest.FromString(call.body).taps) == 500


def largest_batch() -> bytes:
    tap = {
        "evidence": base64.b64encode(b"\xff" * 2048).decode(),
        "signature": base64.b64encode(b"\xff" * 72).decode(),
        "deviceCertificate": "a" * 2048,
        "transport": {"attempts": 10**6, "slotTicket": base64.b64encode(b"\xff" * 512).decode()},
    }
    return json.dumps({"taps": [tap] * 500}).encode()


async def test_grpc_web_gets_messages_and_errors(edge: Edge) -> None:
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = await edge.call("POST", GET_CLOCK, b"\0\0\0\0\0", headers)
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    assert b"grpc-status:0" in answer.body
    await edge.upstreams["reporting"].stop()
    answer = await edge.call("POST", "/hadir.reporting.v1.ReportingService/GetBoard", b"\0\0\0\0\0", headers)
    assert answer.headers["grpc-status"] == "14"
    padded = answer.headers["grpc-status-details-bin"] + "=="
    assert details_of(base64.b64decode(padded))["ErrorInfo"].reason == "EDGE_UPSTREAM_UNAVAILABLE"


async def test_health_and_metrics_are_there_and_the_admin_interface_is_not(edge: Edge) -> None:
    assert (await edge.call("GET", "/healthz")).status == 200
    target = edge.stack.target
    host, _ = target.metrics["envoy"].removeprefix("http://").split("/", 1)
    for path, status in {"/metrics": 200, "/ready": 200, "/quitquitquit": 404, "/config_dump": 404}.items():
        assert (await asyncio.to_thread(status_of, host, path)) == status, path
    assert "envoy_cluster_upstream_rq" in await asyncio.to_thread(edge.metrics)


def status_of(host: str, path: str) -> int:
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
