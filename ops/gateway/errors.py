"""What the edge itself answers when it refuses a request: the same google.rpc.Status shape as the services'.

Owner: gateway. The table is data; `local_reply_mappers` turns it into Envoy's `local_reply_config.mappers`.
Why this way, and not Lua: docs/decisions/0012-edge-errors.md.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "hadir"

# A refused crowd is dealt into this many one-second slots by lot; within a slot the fraction of the
# request's own arrival second spreads it further. Eight seconds end before a phone's user gives up, and a
# replica that was restarted has answered its health check by then.
RETRY_SLOTS = 8

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeError:
    """One refusal by the edge.

    Attributes:
        http: the HTTP statuses by which Envoy makes this refusal (first and last of a range, both included).
        code: the gRPC status code put into the body, and sent to gRPC clients.
        grpc_code: what gRPC clients get when their code differs (an unknown method is UNIMPLEMENTED to them).
        reason: ErrorInfo.reason, stable.
        message_id: what a person reads, Bahasa Indonesia.
        message_en: the same in English; also the status's own message.
        tells_cause: True when Envoy's own words help whoever writes a client (which JSON token, which
            path): they go into ErrorInfo.metadata. Never for failures behind the edge, whose words name our
            addresses.
        retry: True when the same request may come back: the answer then carries a RetryInfo.
    """

    http: tuple[int, int]
    code: grpc.StatusCode
    grpc_code: grpc.StatusCode | None = None
    reason: str
    message_id: str
    message_en: str
    tells_cause: bool = False
    retry: bool = False


EDGE_ERRORS: Sequence[EdgeError] = (
    EdgeError(
        http=(400, 400),
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="EDGE_BAD_REQUEST",
        message_id="Permintaan tidak dapat dibaca. Periksa bentuk JSON dan nama isiannya.",
        message_en="The request cannot be read. Check the JSON and the names of its fields.",
        tells_cause=True,
    ),
    EdgeError(
        http=(404, 405),
        code=grpc.StatusCode.NOT_FOUND,
        grpc_code=grpc.StatusCode.UNIMPLEMENTED,
        reason="EDGE_NO_SUCH_CALL",
        message_id="Alamat ini tidak ada. Periksa alamat dan metodenya.",
        message_en="There is no such call. Check the path and the method.",
        tells_cause=True,
    ),
    EdgeError(
        http=(408, 408),
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
        reason="EDGE_REQUEST_TOO_SLOW",
        message_id="Kiriman terputus atau terlalu lambat. Silakan kirim lagi.",
        message_en="The request arrived too slowly. Send it again.",
        retry=True,
    ),
    EdgeError(
        http=(413, 413),
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="EDGE_BODY_TOO_LARGE",
        message_id="Kiriman terlalu besar. Bagi menjadi beberapa kiriman.",
        message_en="The body is too large. Split it into several requests.",
    ),
    EdgeError(
        http=(431, 431),
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="EDGE_HEADERS_TOO_LARGE",
        message_id="Kepala permintaan terlalu besar.",
        message_en="The request's headers are too large.",
    ),
    EdgeError(
        http=(406, 499),
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="EDGE_BAD_REQUEST",
        message_id="Permintaan tidak dapat diterima.",
        message_en="The request cannot be accepted.",
    ),
    EdgeError(
        http=(502, 503),
        code=grpc.StatusCode.UNAVAILABLE,
        reason="EDGE_UPSTREAM_UNAVAILABLE",
        message_id="Layanan sedang tidak dapat dihubungi. Data di HP Anda aman; kirim lagi sebentar lagi.",
        message_en="The service cannot be reached just now. What is on the phone is safe; send it again shortly.",
        retry=True,
    ),
    EdgeError(
        http=(504, 504),
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
        reason="EDGE_UPSTREAM_TIMEOUT",
        message_id="Layanan belum sempat menjawab. Data di HP Anda aman; kirim lagi sebentar lagi.",
        message_en="The service did not answer in time. What is on the phone is safe; send it again shortly.",
        retry=True,
    ),
    EdgeError(
        http=(500, 599),
        code=grpc.StatusCode.INTERNAL,
        reason="EDGE_INTERNAL",
        message_id="Terjadi kesalahan di gerbang layanan.",
        message_en="The edge failed to answer.",
    ),
)


def status_of(error: EdgeError, retry_seconds: int | None = None) -> status_pb2.Status:
    """The google.rpc.Status a gRPC client finds in `grpc-status-details-bin`.

    Args:
        error: the row of the table.
        retry_seconds: whole seconds of RetryInfo.retry_delay; None leaves RetryInfo out.
    """
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if retry_seconds is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_seconds)))
    details += [
        error_details_pb2.LocalizedMessage(locale="id-ID", message=error.message_id),
        error_details_pb2.LocalizedMessage(locale="en", message=error.message_en),
    ]
    status = status_pb2.Status(code=_number(error.grpc_code or error.code), message=error.message_en)
    for detail in details:
        status.details.append(_packed(detail))
    return status


def local_reply_mappers() -> list[Json]:
    """Envoy's `local_reply_config.mappers`, the first match wins: gRPC callers first, everyone else gets
    JSON.
    """
    mappers: list[Json] = []
    for for_grpc in (True, False):
        for error in EDGE_ERRORS:
            if not error.retry:
                mappers.append(_mapper(error, None, for_grpc=for_grpc))
                continue
            mappers += (_mapper(error, slot, for_grpc=for_grpc) for slot in range(1, RETRY_SLOTS + 1))
    return mappers


def _mapper(error: EdgeError, slot: int | None, *, for_grpc: bool) -> Json:
    filters = [*_status_between(*error.http)]
    if for_grpc:
        filters += _IS_GRPC
    if slot is not None:
        filters += _by_lot(slot)
    headers = _grpc_headers(error, slot) if for_grpc else _http_headers(slot)
    # In a gRPC answer Envoy puts the formatted body into grpc-message.
    grpc_message = {"text_format_source": {"inline_string": error.message_en}}
    return {
        # Envoy's "and" wants two or more.
        "filter": {"and_filter": {"filters": filters}} if len(filters) > 1 else filters[0],
        "headers_to_add": [_header(name, value) for name, value in headers],
        "body_format_override": grpc_message if for_grpc else _json_body(error, slot),
    }


def _grpc_headers(error: EdgeError, slot: int | None) -> Iterator[tuple[str, str]]:
    yield "grpc-status", str(_number(error.grpc_code or error.code))
    details = base64.b64encode(status_of(error, slot).SerializeToString(deterministic=True))
    # gRPC's "-bin" headers are base64 without padding.
    yield "grpc-status-details-bin", details.decode().rstrip("=")
    if slot is not None:
        yield "grpc-retry-pushback-ms", f"{slot}{_FRACTION}"


def _http_headers(slot: int | None) -> Iterator[tuple[str, str]]:
    if slot is not None:
        # Whole seconds are all that HTTP has; rounded up, because an early return is refused again.
        yield "retry-after", str(slot + 1)


def _json_body(error: EdgeError, slot: int | None) -> Json:
    info: Json = {"@type": _type_url("ErrorInfo"), "reason": error.reason, "domain": DOMAIN}
    if error.tells_cause:
        info["metadata"] = {"cause": "%LOCAL_REPLY_BODY%"}
    details: list[Json] = [info]
    if slot is not None:
        details.append({"@type": _type_url("RetryInfo"), "retryDelay": f"{slot}.{_FRACTION}s"})
    details += [
        {"@type": _type_url("LocalizedMessage"), "locale": "id-ID", "message": error.message_id},
        {"@type": _type_url("LocalizedMessage"), "locale": "en", "message": error.message_en},
    ]
    return {
        "json_format": {"code": _number(error.code), "message": error.message_en, "details": details},
        "content_type": "application/json",
    }


# The milliseconds of the request's own arrival second: as good as a die between callers, and Envoy can
# print it.
_FRACTION = "%START_TIME(%3f)%"

_IS_GRPC: Sequence[Json] = (
    {
        "header_filter": {
            "header": {
                "name": "content-type",
                "string_match": {"safe_regex": {"regex": r"application/grpc(\+[a-z]+)?"}},
            }
        }
    },
    # A JSON call looks like gRPC once it is transcoded; the transcoder leaves this header with it, and
    # nobody else can: the edge removes the caller's x-envoy-* first.
    {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": False}}},
)


def _status_between(first: int, last: int) -> Iterator[Json]:
    bounds = [("EQ", first)] if first == last else [("GE", first), ("LE", last)]
    for operator, status in bounds:
        # Envoy wants a runtime key with every number; nothing sets these.
        value = {"default_value": status, "runtime_key": f"hadir.edge.status_{operator.lower()}_{status}"}
        yield {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _by_lot(slot: int) -> Iterator[Json]:
    """Slot n of N takes one in N-n+1 of those whom the slots before it left; the last takes the rest."""
    left_over = RETRY_SLOTS - slot + 1
    if left_over == 1:
        return
    share = {"numerator": round(1_000_000 / left_over), "denominator": "MILLION"}
    yield {
        "runtime_filter": {
            "runtime_key": f"hadir.edge.retry_slot_{slot}",
            "percent_sampled": share,
            # Otherwise the lot is drawn from x-request-id, which is the same for every slot.
            "use_independent_randomness": True,
        }
    }


def _header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _type_url(name: str) -> str:
    return f"type.googleapis.com/google.rpc.{name}"


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _number(code: grpc.StatusCode) -> int:
    number: int = code.value[0]
    return number
