"""google.rpc.Status and its details: how an error is written for the wire, and read from it.

Owner: chassis. Which exception becomes which status is in chassis.errors; code outside the chassis imports from there.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

logger = logging.getLogger(__name__)

DOMAIN = "hadir"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
RETRY_AFTER_KEY = "retry-after"

# A gRPC client takes 8 KiB of trailers by default, in base64, and the details are part of them.
MAX_FIELD_VIOLATIONS = 10
MAX_FIELD_TEXT = 120
MAX_TEXT = 300


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a request: its path ("taps[3].evidence"), a stable reason, two languages."""

    path: str
    reason: str
    message_id: str
    message_en: str


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """How one kind of exception looks on the wire.

    Attributes:
        code: the gRPC status code.
        reason: ErrorInfo.reason, UPPER_SNAKE_CASE, stable for ever.
        message_id: what a person reads, Bahasa Indonesia; {placeholders} come from the exception's `params`.
        message_en: the same in English; also the status's own message.
        retry_after: when the same request may come back, or None for "not by itself". Jitter is the function's
            business, because clients obey exactly.
        metadata: ErrorInfo.metadata, for programs; no personal data.
        fields: what is wrong with which field (BadRequest).
    """

    code: grpc.StatusCode
    reason: str
    message_id: str
    message_en: str
    retry_after: Callable[[Any], timedelta | None] | None = None
    metadata: Callable[[Any], Mapping[str, str]] | None = None
    fields: Callable[[Any], Sequence[FieldProblem]] | None = None


def build_status(rule: ErrorRule, exc: Exception) -> status_pb2.Status:
    """The status a rule makes of an exception: ErrorInfo, BadRequest, RetryInfo and both languages."""
    params: Mapping[str, object] = getattr(exc, "params", {})
    message_en = _fill(rule.message_en, params)
    info = error_details_pb2.ErrorInfo(reason=rule.reason, domain=DOMAIN)
    if rule.metadata is not None:
        info.metadata.update(rule.metadata(exc))
    details: list[Message] = [info]
    problems = rule.fields(exc) if rule.fields is not None else ()
    if problems:
        details.append(_bad_request(problems))
        first = problems[0]
        message_en = f"{message_en} {first.path}: {first.message_en}"
    retry = rule.retry_after(exc) if rule.retry_after is not None else None
    if retry is not None:
        delay = Duration()
        delay.FromTimedelta(max(retry, timedelta(0)))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    details += (
        error_details_pb2.LocalizedMessage(locale="id-ID", message=_fill(rule.message_id, params)),
        error_details_pb2.LocalizedMessage(locale="en", message=_fill(rule.message_en, params)),
    )
    status = status_pb2.Status(code=rule.code.value[0], message=message_en[: 2 * MAX_TEXT])
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def retry_delay(status: status_pb2.Status) -> timedelta | None:
    """What the status's RetryInfo says, or None if it has none: then the same request must not come back by itself."""
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta()
    return None


def reason_of(status: status_pb2.Status) -> str:
    """The status's ErrorInfo.reason, or "" if it has none."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return info.reason
    return ""


def trailers(status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata of an error: the details, and the retry delay in gRPC's and in HTTP's words.

    Pushback is in milliseconds and obeyed exactly by gRPC clients; Retry-After knows whole seconds only, rounded up.
    """
    metadata: list[tuple[str, str | bytes]] = [(DETAILS_KEY, status.SerializeToString())]
    retry = retry_delay(status)
    if retry is not None:
        metadata.append((PUSHBACK_KEY, str(math.ceil(retry.total_seconds() * 1000))))
        metadata.append((RETRY_AFTER_KEY, str(math.ceil(retry.total_seconds()))))
    return tuple(metadata)


_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def abort(
    context: "grpc.aio.ServicerContext[Any, Any]",
    status: status_pb2.Status,
    *,
    retry_after: timedelta | None = None,
) -> NoReturn:
    """Ends the call with the status: by `context.abort`, since a code set beside an answer disables clients' retries.

    Args:
        context: the call's.
        status: as `to_status` makes it; its code is not OK.
        retry_after: adds a RetryInfo if the status has none.

    Raises:
        grpc.aio.AbortError: always.
    """
    if retry_after is not None and retry_delay(status) is None:
        delay = Duration()
        delay.FromTimedelta(retry_after)
        packed = AnyMessage()
        packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        status.details.append(packed)
    own = tuple(context.trailing_metadata() or ())
    await context.abort(_CODES[status.code], status.message, (*own, *trailers(status)))
    raise AssertionError("context.abort returned")


def _fill(text: str, params: Mapping[str, object]) -> str:
    if "{" not in text:
        return text
    try:
        return text.format_map(params)[:MAX_TEXT]
    except (KeyError, IndexError, ValueError, AttributeError):
        # A refusal with a clumsy text is still a refusal; an error inside the error would not be.
        logger.exception("an error rule's text does not fit its exception", extra={"text": text})
        return text[:MAX_TEXT]


def _bad_request(problems: Sequence[FieldProblem]) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=problem.path[:MAX_FIELD_TEXT],
                description=problem.message_en[:MAX_FIELD_TEXT],
                reason=problem.reason,
                localized_message=error_details_pb2.LocalizedMessage(
                    locale="id-ID", message=problem.message_id[:MAX_FIELD_TEXT]
                ),
            )
            for problem in problems[:MAX_FIELD_VIOLATIONS]
        ]
    )
