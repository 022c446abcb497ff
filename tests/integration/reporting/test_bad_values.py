"""Values that no honest caller sends, at every served method: refused by a rule or answered, never an accident."""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hadir.reporting.v1 import reporting_service_pb2 as pb
from services.reporting.entrypoints.access import OFFERED
from tests.integration.reporting.world import MONDAY, Reporting, Stream, person, refused, tap

ACCIDENTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
TEXTS = (
    "\0",
    "a\0b",
    "-" * 36,
    "g" * 36,
    "{6f1c2a70-0000-4000-8000-000000000000}",
    "0001-01-01",
    "1999-12-31",
    "2201-01-01",
    "9999-12-15",
    "9999-12-31",
    "0000-00-00",
    "2026-02-30",
    "2026-W32-1",
    "2026-08-03\n",
    "٢٠٢٦-٠٨-٠٣",
    "' OR 1=1 --",
    "😀",
    "A" * 32,
    "AAAA" * 7,
    "_____" * 5,
    "=" * 128,
    *(base64.b64encode(day.to_bytes(4, "big") + bytes(16)).decode() for day in (0, 1, 3_652_059, 2**32 - 1)),
    "x" * 129,
    "x" * 100_000,
)
NUMBERS = (-(2**31), -1, 1, 3, 999, 1_000, 1_001, 2**31 - 1, 2**32 - 1)
METHODS = sorted(method.rsplit("/", 1)[1] for method in OFFERED)


def requests(method: str) -> Iterator[tuple[str, Message]]:
    """The method's request with one bad value at a time."""
    kind = getattr(pb, f"{method}Request")
    for field in kind.DESCRIPTOR.fields:
        values: tuple[Any, ...] = TEXTS if field.type == FieldDescriptor.TYPE_STRING else NUMBERS
        for value in values:
            request = kind()
            try:
                setattr(request, field.name, value)
            except ValueError:
                continue
            yield f"{field.name}={str(value)[:40]!r}", request


async def outcome(service: Reporting, method: str, request: Message, who: Mapping[str, Any]) -> Any:
    """The code of a call; of a stream that begins, OK."""
    call = getattr(service.stub, method)(request, timeout=10, **who)
    try:
        if method.startswith("Watch"):
            if await call.read() is grpc.aio.EOF:
                return await call.code()
            call.cancel()
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", METHODS)
async def test_bad_values_are_refused_or_answered(service: Reporting, stream: Stream, method: str) -> None:
    await stream.publish([person(service.regency, 1)], regency=service.regency)
    await stream.publish([tap(service.regency, 1)], regency=service.regency)
    await service.until_present(1)
    callers: list[Callable[[], Mapping[str, Any]]] = [
        service.staff,
        lambda: service.staff("school_operator", "school:50203000"),
    ]
    if method == "ListDays":
        # A proof is good for one call.
        callers.append(lambda: service.teacher(1))
    accidents = []
    refusals = 0
    for what, request in requests(method):
        for who in callers:
            code = await outcome(service, method, request, who())
            refusals += code != grpc.StatusCode.OK
            if code in ACCIDENTS or code == grpc.StatusCode.DEADLINE_EXCEEDED:
                accidents.append((what, code))
    assert accidents == []
    assert refusals > 10


@pytest.mark.parametrize(
    ("field", "day"),
    [
        ("work_date", "0001-01-01"),
        ("work_date", "9999-12-31"),
        ("work_date", "2026-02-30"),
        ("from_date", "9999-12-15"),
        ("to_date", "2201-01-01"),
    ],
)
async def test_a_date_outside_the_calendar_of_attendance_is_the_caller_s_fault(
    service: Reporting, field: str, day: str
) -> None:
    bad = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    if field == "work_date":
        assert (
            await refused(service.stub.GetBoard(pb.GetBoardRequest(work_date=day), **service.staff())) == bad
        )
        report = pb.GetPeakReportRequest(work_date=day)
        assert await refused(service.stub.GetPeakReport(report, **service.staff())) == bad
        watch = service.stub.WatchBoard(pb.WatchBoardRequest(work_date=day), **service.staff())
        assert await refused(watch.read()) == bad
    else:
        asked = pb.ListDaysRequest()
        setattr(asked, field, day)
        assert await refused(service.stub.ListDays(asked, **service.staff())) == bad


@pytest.mark.parametrize(
    "changes",
    [
        {"person_id": "-" * 36},
        {"unit": "a\0b"},
        {"unit": "x" * 17},
        {"page_token": "\0"},
        {"page_size": 1_001},
    ],
)
async def test_a_value_against_its_rule_names_the_field(service: Reporting, changes: dict[str, Any]) -> None:
    asked = pb.ListDaysRequest(from_date=MONDAY.isoformat(), **changes)
    bad = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert await refused(service.stub.ListDays(asked, **service.staff())) == bad


async def test_the_dates_at_the_bounds_are_answered(service: Reporting) -> None:
    for first, last in (("2000-01-01", "2000-01-31"), ("2200-12-01", "2200-12-31")):
        asked = pb.ListDaysRequest(from_date=first, to_date=last, person_id=str(uuid4()).upper())
        assert not (await service.stub.ListDays(asked, **service.staff())).days
        await service.stub.GetBoard(pb.GetBoardRequest(work_date=last), **service.staff())
