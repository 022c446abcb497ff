import logging
from datetime import timedelta
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details_pb2
from google.rpc import status_pb2

from chassis.errors import (
    COMMON_ERRORS,
    ErrorMapper,
    ErrorRule,
    ErrorTable,
    FieldProblem,
    InvalidFieldsError,
    ServiceError,
    jittered,
    reason_of,
    retry_delay,
    to_status,
)
from chassis.statuses import MAX_FIELD_VIOLATIONS, trailers

M = TypeVar("M", bound=Message)


class LateError(ServiceError):
    pass


class VeryLateError(LateError):
    pass


LATE = ErrorRule(
    grpc.StatusCode.FAILED_PRECONDITION,
    "LATE",
    "Terlambat {minutes} menit.",
    "Late by {minutes} minutes.",
    retry_after=lambda exc: timedelta(seconds=exc.params["wait"]) if "wait" in exc.params else None,
    metadata=lambda exc: {"minutes": str(exc.params["minutes"])},
)
TABLE: ErrorTable = {LateError: LATE}


def _details(status: status_pb2.Status, kind: type[M]) -> list[M]:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def _texts(status: status_pb2.Status) -> dict[str, str]:
    return {text.locale: text.message for text in _details(status, details_pb2.LocalizedMessage)}


def test_a_rule_speaks_both_languages_and_to_programs() -> None:
    status = to_status(LateError(minutes=5), TABLE)
    (info,) = _details(status, details_pb2.ErrorInfo)
    assert (status.code, status.message) == (9, "Late by 5 minutes.")
    assert (info.reason, info.domain, dict(info.metadata)) == ("LATE", "hadir", {"minutes": "5"})
    assert _texts(status) == {"id-ID": "Terlambat 5 menit.", "en": "Late by 5 minutes."}
    assert retry_delay(status) is None


def test_a_rule_holds_for_subclasses() -> None:
    assert reason_of(to_status(VeryLateError(minutes=100), TABLE)) == "LATE"


def test_when_to_come_back_is_said_in_three_ways() -> None:
    status = to_status(LateError(minutes=5, wait=1.2345), TABLE)
    assert retry_delay(status) == timedelta(seconds=1.2345)
    said = dict(trailers(status))
    assert said["grpc-retry-pushback-ms"] == "1235"
    assert said["retry-after"] == "2"
    assert status_pb2.Status.FromString(bytes(said["grpc-status-details-bin"])) == status  # type: ignore[arg-type]


def test_without_retry_info_nothing_says_come_back() -> None:
    assert set(dict(trailers(to_status(LateError(minutes=5), TABLE)))) == {"grpc-status-details-bin"}


def test_a_clumsy_text_is_still_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    rule = ErrorRule(grpc.StatusCode.ABORTED, "X", "{absen} {", "{missing.attribute} {0}")
    status = to_status(LateError(), {LateError: rule})
    assert status.code == grpc.StatusCode.ABORTED.value[0]
    assert len(caplog.records) > 0


def test_the_unexpected_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    status = to_status(RuntimeError("SELECT secret FROM people"), TABLE)
    (record,) = caplog.records
    error_id = vars(record)["error_id"]
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert reason_of(status) == "INTERNAL"
    assert error_id in _texts(status)["id-ID"]
    assert b"secret" not in status.SerializeToString()
    assert record.exc_info is not None


def test_a_database_that_is_away_is_unavailable_and_logged_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mapper = ErrorMapper(TABLE, lambda exc: isinstance(exc, ConnectionError))
    with caplog.at_level(logging.WARNING):
        statuses = [mapper.to_status(ConnectionResetError("db")) for _ in range(20)]
    assert {reason_of(status) for status in statuses} == {"DATABASE_UNAVAILABLE"}
    delays = {retry_delay(status) for status in statuses}
    assert len(delays) == 20
    assert all(
        delay is not None and timedelta(seconds=2) <= delay <= timedelta(seconds=4) for delay in delays
    )
    assert len(caplog.records) == 1


def test_the_services_rule_comes_first() -> None:
    mapper = ErrorMapper({ConnectionError: LATE}, lambda _: True)
    error = ConnectionResetError()
    error.params = {"minutes": 1}  # type: ignore[attr-defined]
    assert reason_of(mapper.to_status(error)) == "LATE"


def test_many_bad_fields_still_fit_into_trailers() -> None:
    problems = [
        FieldProblem(f"taps[{n}]." + "x" * 1000, "STRING_UUID", "y" * 1000, "z" * 1000) for n in range(500)
    ]
    status = to_status(InvalidFieldsError(problems), {})
    (bad,) = _details(status, details_pb2.BadRequest)
    assert len(bad.field_violations) == MAX_FIELD_VIOLATIONS
    assert len(status.SerializeToString()) * 4 / 3 < 8 * 1024


def test_a_bad_field_is_told_in_both_languages() -> None:
    problem = FieldProblem("device_id", "STRING_UUID", "harus berupa UUID", "must be a valid UUID")
    status = to_status(InvalidFieldsError([problem]), {})
    (bad,) = _details(status, details_pb2.BadRequest)
    (violation,) = bad.field_violations
    assert (violation.field, violation.reason, violation.description) == (
        "device_id", "STRING_UUID", "must be a valid UUID"
    )  # fmt: skip
    assert (violation.localized_message.locale, violation.localized_message.message) == (
        "id-ID",
        "harus berupa UUID",
    )
    assert status.message.endswith("device_id: must be a valid UUID")


@pytest.mark.parametrize("kind", COMMON_ERRORS)
def test_common_errors_are_complete(kind: type[Exception]) -> None:
    rule = COMMON_ERRORS[kind]
    assert rule.code not in {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
    assert rule.reason.isupper()
    assert rule.message_id != rule.message_en


def test_reasons_are_unique() -> None:
    reasons = [rule.reason for rule in COMMON_ERRORS.values()]
    assert len(reasons) == len(set(reasons))


def test_a_crowd_is_spread() -> None:
    waits = [jittered(2) for _ in range(200)]
    assert min(waits) >= timedelta(seconds=2)
    assert max(waits) <= timedelta(seconds=4)
    assert max(waits) - min(waits) > timedelta(seconds=1)
