"""Requests as bytes and answers as values: nothing here waits or sends. Owner: herd.

Evidence, signature and certificate are rendered once, before the clock starts; a try only adds its transport facts.
"""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from hadir.checkin.v1 import checkin_service_pb2, tap_pb2
from ops.herd.evidence import SignedTap, timestamp
from ops.herd.phones import Phone
from ops.herd.retry import Accepted, Answer, Failed, Refused

TAPS_PATH = "/v1/taps"

# Nobody answered in order, or the trouble is the server's: the same tap may be sent again.
_TRANSIENT_HTTP = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_CODES = frozenset(
    code.value[0]
    for code in (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    )
)
_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_TICKET = "slot_ticket"


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """What changes with each try.

    Attributes:
        attempt: 1 for the first.
        queued: seconds since the press.
        sent_wall: the phone's wall clock at the sending, POSIX seconds.
        ticket: out of the refusal before; empty on the first.
    """

    attempt: int
    queued: float
    sent_wall: float
    ticket: bytes = b""


class JsonRequest:
    """The HTTP/1.1 requests of one tap: head and body in one piece."""

    __slots__ = ("_head", "_prefix")

    def __init__(self, host: str, phone: Phone, tap: SignedTap) -> None:
        self._head = (
            f"POST {TAPS_PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            "accept: application/json\r\nuser-agent: hadir-herd\r\ncontent-length: "
        ).encode("ascii")
        self._prefix = b'{"tap":{"evidence":"%b","signature":"%b","deviceCertificate":"%b","transport":' % (
            base64.b64encode(tap.evidence),
            base64.b64encode(tap.signature),
            phone.certificate.encode("ascii"),
        )

    def render(self, attempt: Try) -> bytes:
        """The request of one try."""
        sent_at = datetime.fromtimestamp(round(attempt.sent_wall, 3), UTC)
        transport: dict[str, int | str] = {
            "attempt": attempt.attempt,
            "queuedMs": str(max(0, round(attempt.queued * 1000))),
            "sentAt": sent_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{sent_at.microsecond // 1000:03d}Z",
        }
        if attempt.ticket:
            transport["slotTicket"] = base64.b64encode(attempt.ticket).decode("ascii")
        body = self._prefix + json.dumps(transport, separators=(",", ":")).encode("ascii") + b"}}"
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)


class ProtobufRequest:
    """The serialized messages of one tap: a SubmitTapRequest, or its share of a SubmitTapsRequest; they look alike."""

    __slots__ = ("_prefix",)

    def __init__(self, phone: Phone, tap: SignedTap) -> None:
        self._prefix = tap_pb2.Tap(
            evidence=tap.evidence, signature=tap.signature, device_certificate=phone.certificate
        ).SerializeToString()

    def render(self, attempt: Try) -> bytes:
        """Field 1 (`tap`, and one item of `taps`) of one try.

        Serialized messages can be appended to each other: no field is rendered twice, and a batch is its taps in a row.
        """
        transport = tap_pb2.Transport(
            attempt=attempt.attempt,
            queued_ms=max(0, round(attempt.queued * 1000)),
            sent_at=timestamp(attempt.sent_wall),
            slot_ticket=attempt.ticket,
        )
        tail = tap_pb2.Tap(transport=transport).SerializeToString()
        return b"\x0a" + _varint(len(self._prefix) + len(tail)) + self._prefix + tail


def answer_of_http(status: int, body: bytes, tap_id: str) -> Answer:
    """What an HTTP answer means for the tap `tap_id`."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        kind = "unreadable" if status == 200 else f"http_{status}"
        return Failed(kind) if status == 200 or status in _TRANSIENT_HTTP else Refused(f"HTTP_{status}")
    if status == 200:
        return _receipt_of_json(parsed, tap_id)
    return _refusal_of_json(status, parsed)


def answer_of_response(response: checkin_service_pb2.SubmitTapResponse, tap_id: str) -> Answer:
    """What a SubmitTapResponse means for the tap `tap_id`: a receipt, if it is this tap's."""
    receipt = response.receipt
    return _receipt(receipt.content, receipt.signature, receipt.key_id, tap_id, duplicate=response.duplicate)


def answer_of_status(status: status_pb2.Status) -> Answer:
    """What a google.rpc.Status means: a refusal, or a failure when it names no time to come back and may pass."""
    reason, retry_after, ticket = _CODE_NAMES.get(status.code, str(status.code)), None, b""
    for detail in status.details:
        try:
            if detail.type_url == _RETRY_INFO:
                info = error_details_pb2.RetryInfo.FromString(detail.value)
                retry_after = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
            elif detail.type_url == _ERROR_INFO:
                error = error_details_pb2.ErrorInfo.FromString(detail.value)
                reason = error.reason or reason
                ticket = _ticket(error.metadata) or ticket
        except DecodeError:
            continue
    return _refusal(reason, retry_after, ticket, transient=status.code in _TRANSIENT_CODES)


def answer_of_rpc_error(code: grpc.StatusCode, trailers: Iterable[tuple[str, str | bytes]]) -> Answer:
    """What a failed gRPC call means, by its trailers."""
    for key, value in trailers:
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return answer_of_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    number: int = code.value[0]
    return _refusal(code.name, None, b"", transient=number in _TRANSIENT_CODES)


def batch_answers(response: checkin_service_pb2.SubmitTapsResponse, tap_ids: list[str]) -> list[Answer]:
    """One answer per tap of a batch, in order; results that do not match the batch in number answer nothing."""
    if len(response.results) != len(tap_ids):
        return [Failed("unreadable")] * len(tap_ids)
    return [
        answer_of_response(result.accepted, tap_id)
        if result.WhichOneof("outcome") == "accepted"
        else answer_of_status(result.error)
        for result, tap_id in zip(response.results, tap_ids, strict=True)
    ]


def _receipt_of_json(parsed: Mapping[str, object], tap_id: str) -> Answer:
    receipt = parsed.get("receipt")
    if not isinstance(receipt, dict):
        return Failed("unreadable")
    try:
        content = base64.b64decode(receipt["content"], validate=True)
        signature = base64.b64decode(receipt["signature"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return Failed("unreadable")
    return _receipt(
        content, signature, str(receipt.get("keyId", "")), tap_id, duplicate=parsed.get("duplicate") is True
    )


def _receipt(content: bytes, signature: bytes, key_id: str, tap_id: str, *, duplicate: bool) -> Answer:
    # Its first field; the whole is decoded and its signature checked after the run.
    if not content.startswith(b"\x0a\x24" + tap_id.encode("ascii")):
        return Failed("foreign_receipt")
    return Accepted(content, signature, key_id, duplicate)


def _refusal_of_json(http_status: int, parsed: Mapping[str, object]) -> Answer:
    told, details = parsed.get("code"), parsed.get("details")
    code = told if isinstance(told, int) else -1
    reason = _CODE_NAMES.get(code, f"HTTP_{http_status}")
    retry_after, ticket = None, b""
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        if detail.get("@type") == _RETRY_INFO:
            retry_after = _seconds(detail.get("retryDelay", "0s"))
        elif detail.get("@type") == _ERROR_INFO:
            reason = str(detail.get("reason") or reason)
            metadata = detail.get("metadata")
            ticket = _ticket(metadata) if isinstance(metadata, dict) else ticket
    transient = code in _TRANSIENT_CODES or http_status in _TRANSIENT_HTTP - {429}
    return _refusal(reason, retry_after, ticket, transient=transient)


def _refusal(reason: str, retry_after: float | None, ticket: bytes, *, transient: bool) -> Answer:
    if retry_after is None and transient:
        return Failed(reason.lower())
    return Refused(reason, retry_after, ticket)


def _ticket(metadata: Mapping[str, object]) -> bytes:
    try:
        return base64.b64decode(str(metadata.get(_TICKET, "")), validate=True)
    except (ValueError, binascii.Error):
        return b""


def _seconds(text: object) -> float | None:
    """A protobuf JSON duration ("1.5s"); None when it is not one."""
    if not isinstance(text, str) or not text.endswith("s"):
        return None
    try:
        seconds = float(text[:-1])
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
