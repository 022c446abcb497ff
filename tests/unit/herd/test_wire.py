import base64
import json

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from hadir.checkin.v1 import checkin_service_pb2, tap_pb2
from ops.herd.evidence import SignedTap
from ops.herd.phones import Phone
from ops.herd.retry import Accepted, Failed, Refused
from ops.herd.wire import (
    JsonRequest,
    ProtobufRequest,
    Try,
    answer_of_http,
    answer_of_response,
    answer_of_rpc_error,
    answer_of_status,
    batch_answers,
)
from tests.fakes.herd_edge import receipt_json, refusal_json

TAP_ID = "01935f42-0000-7000-8000-000000000001"
FIRST = Try(attempt=1, queued=0.0, sent_wall=1_763_000_060.25)
THIRD = Try(attempt=3, queued=4.5, sent_wall=1_763_000_064.75, ticket=b"\x00ticket\xff")


def expected(phone: Phone, tap: SignedTap, attempt: Try) -> checkin_service_pb2.SubmitTapRequest:
    message = checkin_service_pb2.SubmitTapRequest(
        tap=tap_pb2.Tap(
            evidence=tap.evidence,
            signature=tap.signature,
            device_certificate=phone.certificate,
            transport=tap_pb2.Transport(
                attempt=attempt.attempt, queued_ms=round(attempt.queued * 1000), slot_ticket=attempt.ticket
            ),
        )
    )
    message.tap.transport.sent_at.FromMilliseconds(round(attempt.sent_wall * 1000))
    return message


@pytest.mark.parametrize("attempt", [FIRST, THIRD])
def test_a_json_request_holds_the_tap_as_protobufs_json(
    phone: Phone, signed: SignedTap, attempt: Try
) -> None:
    raw = JsonRequest("edge:8080", phone, signed).render(attempt)
    head, body = raw.split(b"\r\n\r\n", 1)

    assert head.startswith(b"POST /v1/taps HTTP/1.1\r\nhost: edge:8080\r\n")
    assert b"content-length: %d" % len(body) in head
    parsed = json_format.Parse(body.decode(), checkin_service_pb2.SubmitTapRequest())
    assert parsed == expected(phone, signed, attempt)


@pytest.mark.parametrize("attempt", [FIRST, THIRD])
def test_a_protobuf_request_is_a_submit_tap_request(phone: Phone, signed: SignedTap, attempt: Try) -> None:
    raw = ProtobufRequest(phone, signed).render(attempt)

    assert checkin_service_pb2.SubmitTapRequest.FromString(raw) == expected(phone, signed, attempt)


def test_protobuf_requests_in_a_row_are_a_batch(phone: Phone, signed: SignedTap) -> None:
    raw = ProtobufRequest(phone, signed).render(FIRST) + ProtobufRequest(phone, signed).render(THIRD)

    batch = checkin_service_pb2.SubmitTapsRequest.FromString(raw)
    assert list(batch.taps) == [expected(phone, signed, attempt).tap for attempt in (FIRST, THIRD)]


def test_a_receipt_is_this_taps_receipt() -> None:
    answer = answer_of_http(200, receipt_json(TAP_ID, duplicate=True), TAP_ID)

    assert isinstance(answer, Accepted)
    assert tap_pb2.ReceiptContent.FromString(answer.content).tap_id == TAP_ID
    assert (answer.signature, answer.key_id, answer.duplicate) == (b"s" * 64, "k", True)


def test_another_taps_receipt_is_none() -> None:
    other = TAP_ID.replace("1", "2")
    assert answer_of_http(200, receipt_json(other), TAP_ID) == Failed("foreign_receipt")


@given(st.sampled_from([200, 403, 429, 500, 503]), st.one_of(st.binary(), st.text().map(str.encode)))
def test_no_body_whatever_breaks_a_phone(status: int, body: bytes) -> None:
    assert not isinstance(answer_of_http(status, body, TAP_ID), Accepted)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["receipt", "content", "signature", "details", "@type", "code"]), inner
            )
        ),
    )
)
def test_no_json_whatever_breaks_a_phone(body: object) -> None:
    for status in (200, 400, 429, 503):
        assert not isinstance(answer_of_http(status, json.dumps(body).encode(), TAP_ID), Accepted)


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (429, refusal_json(8, "BUSY", retry_delay="1.5s", ticket=b"t"), Refused("BUSY", 1.5, b"t")),
        (503, refusal_json(14, "AWAY", retry_delay="0.250s"), Refused("AWAY", 0.25)),
        # RetryInfo alone means "come back": a message that is too large is RESOURCE_EXHAUSTED as well.
        (429, refusal_json(8, "TOO_LARGE"), Refused("TOO_LARGE")),
        (403, refusal_json(7, "FORGED"), Refused("FORGED")),
        (503, refusal_json(14, "AWAY"), Failed("away")),
        (503, b"upstream connect error", Failed("http_503")),
        (404, b"<html>", Refused("HTTP_404")),
        (429, refusal_json(8, "BUSY", retry_delay="soon"), Refused("BUSY")),
        (429, refusal_json(8, "BUSY", retry_delay="nans"), Refused("BUSY")),
        (200, b"{}", Failed("unreadable")),
        (200, b'{"receipt":{"content":"!"}}', Failed("unreadable")),
    ],
)
def test_refusals_in_json(status: int, body: bytes, answer: Refused | Failed) -> None:
    assert answer_of_http(status, body, TAP_ID) == answer


def rich_status(retry: bool) -> status_pb2.Status:
    status = status_pb2.Status(code=8, message="x")
    info = error_details_pb2.ErrorInfo(reason="BUSY", domain="hadir")
    info.metadata["slot_ticket"] = base64.b64encode(b"t").decode()
    details = [info, error_details_pb2.RetryInfo(retry_delay=Duration(nanos=250_000_000))][: 1 + retry]
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def test_refusals_in_grpc() -> None:
    busy = rich_status(retry=True)
    trailers = (("grpc-status-details-bin", busy.SerializeToString()),)

    assert answer_of_status(busy) == Refused("BUSY", 0.25, b"t")
    assert answer_of_status(rich_status(retry=False)) == Refused("BUSY", None, b"t")
    assert answer_of_rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, trailers) == Refused("BUSY", 0.25, b"t")
    assert answer_of_rpc_error(grpc.StatusCode.UNAVAILABLE, ()) == Failed("unavailable")
    assert answer_of_rpc_error(grpc.StatusCode.PERMISSION_DENIED, ()) == Refused("PERMISSION_DENIED")
    broken = (("grpc-status-details-bin", b"\xff"),)
    assert answer_of_rpc_error(grpc.StatusCode.UNAVAILABLE, broken) == Failed("unavailable")


def test_a_batch_has_an_answer_for_each_tap() -> None:
    content = tap_pb2.ReceiptContent(tap_id=TAP_ID).SerializeToString()
    accepted = checkin_service_pb2.SubmitTapResponse(receipt=tap_pb2.Receipt(content=content, signature=b"s"))
    response = checkin_service_pb2.SubmitTapsResponse(
        results=[
            checkin_service_pb2.TapResult(accepted=accepted),
            checkin_service_pb2.TapResult(error=rich_status(retry=True)),
        ]
    )

    assert batch_answers(response, [TAP_ID, "other"]) == [
        Accepted(content, b"s", ""),
        Refused("BUSY", 0.25, b"t"),
    ]
    assert batch_answers(response, [TAP_ID]) == [Failed("unreadable")]
    assert answer_of_response(checkin_service_pb2.SubmitTapResponse(), TAP_ID) == Failed("foreign_receipt")
