"""The running service: events in by NATS, answers out by gRPC, DayAssessed out by NATS. auth is away throughout."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from hadir.reporting.v1 import reporting_service_pb2 as pb
from tests.integration.reporting.world import (
    MONDAY,
    SCHOOLS,
    Reporting,
    Stream,
    local,
    person,
    person_id,
    refused,
    tap,
)
from tests.outboxes import metric, until
from tests.parts import Database

DAY = MONDAY.isoformat()
LATER = {
    "GetMonthlyRecap": pb.GetMonthlyRecapRequest(month="2026-08"),
    "GetHourLedger": pb.GetHourLedgerRequest(person_id=person_id("0000", 1), week="2026-W32"),
    "GetSignalMap": pb.GetSignalMapRequest(from_date=DAY, to_date=DAY),
    "LockRecap": pb.LockRecapRequest(month="2026-08"),
}


@pytest.fixture
async def morning(service: Reporting, stream: Stream) -> Reporting:
    """Twelve people in three schools, of whom seven came: one late, one flagged, and one who only practised."""
    regency = service.regency
    await stream.publish(
        (person(regency, number, school=number % 3) for number in range(12)), regency=regency
    )
    await stream.publish(
        [
            *(tap(regency, number, f"06:4{number}:00", school=number % 3) for number in range(5)),
            tap(regency, 5, "07:31:00", school=2),
            tap(regency, 6, "06:59:00", flags=[4]),
            tap(regency, 7, "06:59:00", practice=True, school=1),
        ],
        regency=regency,
    )
    await service.until_present(7)
    return service


async def test_the_board_counts_heads_by_district_and_school(morning: Reporting) -> None:
    board = await morning.stub.GetBoard(pb.GetBoardRequest(work_date=DAY), **morning.staff())
    assert board.total == pb.BoardCounts(expected=12, present=7, late=1, missing=5, flagged=1)
    assert board.slot == tap_pb2.SLOT_IN
    assert [(row.level, row.code, row.counts.expected, row.counts.present) for row in board.rows] == [
        (pb.UNIT_LEVEL_DISTRICT, "52.02.01", 8, 5),
        (pb.UNIT_LEVEL_DISTRICT, "52.02.02", 4, 2),
        (pb.UNIT_LEVEL_SCHOOL, "50203000", 4, 3),
        (pb.UNIT_LEVEL_SCHOOL, "50203001", 4, 2),
        (pb.UNIT_LEVEL_SCHOOL, "50203002", 4, 2),
    ]
    assert board.rows[2].name == "SD 50203000"
    assert board.as_of.ToDatetime() == morning.clock.now().replace(tzinfo=None)


async def test_today_and_check_in_are_meant_when_nothing_is_said(morning: Reporting) -> None:
    board = await morning.stub.GetBoard(pb.GetBoardRequest(), **morning.staff())
    assert (board.work_date, board.slot, board.total.present) == (DAY, tap_pb2.SLOT_IN, 7)
    out = await morning.stub.GetBoard(pb.GetBoardRequest(slot=tap_pb2.SLOT_OUT), **morning.staff())
    assert (out.total.expected, out.total.present) == (12, 0)


async def test_five_day_schools_expect_nobody_on_saturday(morning: Reporting) -> None:
    saturday = (MONDAY + timedelta(days=5)).isoformat()
    board = await morning.stub.GetBoard(pb.GetBoardRequest(work_date=saturday), **morning.staff())
    assert (board.total.expected, board.rows[-2].counts.expected) == (8, 0)
    sunday = (MONDAY + timedelta(days=6)).isoformat()
    board = await morning.stub.GetBoard(pb.GetBoardRequest(work_date=sunday), **morning.staff())
    assert board.total.expected == 0


async def test_everybody_sees_their_own_unit_only(morning: Reporting) -> None:
    async def codes(role: str, unit: str, asked: str = "") -> list[str]:
        board = await morning.stub.GetBoard(
            pb.GetBoardRequest(work_date=DAY, unit=asked), **morning.staff(role, unit)
        )
        return [row.code for row in board.rows]

    assert await codes("school_operator", "school:50203002") == ["50203002"]
    assert await codes("liaison", "district:52.02.01") == ["52.02.01", "50203000", "50203001"]
    assert await codes("liaison", "district:52.02.01", "50203001") == ["50203001"]
    assert await codes("auditor", f"regency:{morning.regency}", "52.02.02") == ["52.02.02", "50203002"]
    outside = (grpc.StatusCode.PERMISSION_DENIED, "OUT_OF_SCOPE")
    assert await refused(codes("school_operator", "school:50203002", "50203001")) == outside
    assert await refused(codes("school_operator", "school:50203002", "52.02.02")) == outside
    assert await refused(codes("liaison", "district:52.02.01", "50203002")) == outside
    assert await refused(codes("liaison", "district:52.02.01", "99999999")) == outside
    assert await refused(codes("personnel_agency", "regency:5299")) == outside
    assert await refused(codes("personnel_agency", "nonsense")) == outside
    unknown = (grpc.StatusCode.NOT_FOUND, "UNKNOWN_UNIT")
    assert await refused(codes("personnel_agency", f"regency:{morning.regency}", "99999999")) == unknown


async def test_the_ict_agency_sees_how_it_went_and_no_person(morning: Reporting) -> None:
    ict = morning.staff("ict_agency")
    assert (await morning.stub.GetPeakReport(pb.GetPeakReportRequest(work_date=DAY), **ict)).people == 7
    denied = (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED")
    assert await refused(morning.stub.ListDays(pb.ListDaysRequest(from_date=DAY), **ict)) == denied
    assert await refused(morning.stub.GetBoard(pb.GetBoardRequest(work_date=DAY), **ict)) == denied


async def test_days_are_listed_page_by_page(morning: Reporting) -> None:
    request = pb.ListDaysRequest(
        from_date=DAY, to_date=(MONDAY + timedelta(days=30)).isoformat(), page_size=3
    )
    seen: list[Any] = []
    while True:
        page = await morning.stub.ListDays(request, **morning.staff())
        assert len(page.days) <= 3
        seen += page.days
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    ids = [day.assessment.person_id for day in seen]
    assert ids == sorted({person_id(morning.regency, number) for number in range(7)})
    late = next(day for day in seen if day.assessment.person_id == person_id(morning.regency, 5))
    assert (late.nip, late.name, late.assessment.status_code) == (f"{5:018}", "Guru 5", "H")
    first, second = late.assessment.slots
    assert (first.result, first.minutes, first.minutes_class) == (events_pb2.SLOT_RESULT_LATE, 31, 2)
    assert (second.slot, second.result) == (tap_pb2.SLOT_OUT, events_pb2.SLOT_RESULT_PENDING)
    assert late.assessment.reason.startswith("Masuk 07:31:00, terlambat 31 menit (TL 2); pulang belum ada")


async def test_days_of_a_unit_and_of_a_person(morning: Reporting) -> None:
    async def people(caller: Any, **asked: Any) -> set[str]:
        page = await morning.stub.ListDays(pb.ListDaysRequest(from_date=DAY, **asked), **caller)
        return {day.assessment.person_id for day in page.days}

    def ids(*numbers: int) -> set[str]:
        return {person_id(morning.regency, number) for number in numbers}

    assert await people(morning.staff("head_teacher", "school:50203000")) == ids(0, 3, 6)
    assert await people(morning.staff(), unit="52.02.02") == ids(2, 5)
    assert await people(morning.staff(), person_id=person_id(morning.regency, 4).upper()) == ids(4)
    # A person of another school is simply not there: nobody learns where somebody works by asking.
    other = morning.staff("head_teacher", "school:50203000")
    assert await people(other, person_id=person_id(morning.regency, 4)) == set()


async def test_a_teacher_sees_their_own_days_with_their_phone(morning: Reporting) -> None:
    page = await morning.stub.ListDays(pb.ListDaysRequest(from_date=DAY), **morning.teacher(3))
    assert [day.assessment.person_id for day in page.days] == [person_id(morning.regency, 3)]
    own = pb.ListDaysRequest(from_date=DAY, person_id=person_id(morning.regency, 3))
    assert len((await morning.stub.ListDays(own, **morning.teacher(3))).days) == 1
    outside = (grpc.StatusCode.PERMISSION_DENIED, "OUT_OF_SCOPE")
    assert await refused(morning.stub.ListDays(own, **morning.teacher(4))) == outside
    unit = pb.ListDaysRequest(from_date=DAY, unit=SCHOOLS[0][0])
    assert await refused(morning.stub.ListDays(unit, **morning.teacher(3))) == outside
    denied = (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED")
    board = morning.stub.GetBoard(pb.GetBoardRequest(), **morning.teacher(3, "GetBoard"))
    assert await refused(board) == denied


@pytest.mark.parametrize(
    "asked",
    [
        {"from_date": "2026-02-30"},
        {"from_date": DAY, "to_date": "2026-13-01"},
        {"from_date": DAY, "to_date": "2026-08-02"},
        {"from_date": DAY, "to_date": "2026-09-03"},
        {"from_date": DAY, "page_token": "nonsense"},
        {"from_date": DAY, "page_token": "AAAA"},
        {"from_date": DAY, "page_size": 5000},
        {"from_date": DAY, "person_id": "x"},
        {"from_date": "yesterday"},
    ],
)
async def test_what_cannot_be_listed_says_which_field_is_wrong(
    service: Reporting, asked: dict[str, Any]
) -> None:
    code, reason = await refused(service.stub.ListDays(pb.ListDaysRequest(**asked), **service.staff()))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")


async def test_the_peak_report_tells_how_the_morning_went(morning: Reporting) -> None:
    report = await morning.stub.GetPeakReport(pb.GetPeakReportRequest(work_date=DAY), **morning.staff())
    assert (report.expected, report.taps, report.people, report.flagged) == (12, 7, 7, 0)
    assert report.first_arrival.ToDatetime() == (local("06:40:00") + timedelta(seconds=0.1)).replace(
        tzinfo=None
    )
    assert (report.wait_p50_ms, report.wait_max_ms) == (250.0, 250.0)
    assert report.seconds_to_100 == 51 * 60 + 0.25
    assert sum(second.arrived for second in report.seconds) == 7
    unit = await morning.stub.GetPeakReport(
        pb.GetPeakReportRequest(work_date=DAY), **morning.staff("liaison", "district:52.02.02")
    )
    assert (unit.expected, unit.people) == (4, 2)
    empty = await morning.stub.GetPeakReport(
        pb.GetPeakReportRequest(work_date="2026-08-04"), **morning.staff()
    )
    assert (empty.expected, empty.taps, empty.HasField("first_arrival")) == (12, 0, False)


async def test_a_watcher_gets_the_board_and_then_what_changes(morning: Reporting, stream: Stream) -> None:
    call = morning.stub.WatchBoard(pb.WatchBoardRequest(), **morning.staff("liaison", "district:52.02.01"))
    first = await call.read()
    assert first.full
    assert (first.total.present, len(first.rows)) == (5, 3)
    regency = morning.regency
    await stream.publish(
        [tap(regency, 9, "07:10:00"), tap(regency, 8, "07:10:00", school=2)], regency=regency
    )
    async with asyncio.timeout(10):
        change = await call.read()
    assert not change.full
    assert change.total.present == 6
    assert [(row.code, row.counts.present, row.counts.late) for row in change.rows] == [
        ("52.02.01", 6, 1),
        ("50203000", 4, 1),
    ]
    call.cancel()


async def test_a_watch_of_today_ends_with_the_day(morning: Reporting) -> None:
    call = morning.stub.WatchBoard(pb.WatchBoardRequest(), **morning.staff())
    assert (await call.read()).full
    morning.clock.time = local("00:00:00", MONDAY + timedelta(days=1))
    async with asyncio.timeout(10):
        while await call.read() is not grpc.aio.EOF:
            pass
    assert await call.code() == grpc.StatusCode.OK


async def test_more_watchers_than_this_process_serves_are_sent_away_in_order(morning: Reporting) -> None:
    calls = [morning.stub.WatchBoard(pb.WatchBoardRequest(), **morning.staff()) for _ in range(3)]
    for call in calls:
        await call.read()
    one_more = morning.stub.WatchBoard(pb.WatchBoardRequest(), **morning.staff())
    assert await refused(one_more.read()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHERS")
    for call in calls:
        call.cancel()

    async def admitted() -> bool:
        again = morning.stub.WatchBoard(pb.WatchBoardRequest(), **morning.staff())
        try:
            return bool((await again.read()).full)
        except grpc.aio.AioRpcError:
            return False
        finally:
            again.cancel()

    await until(admitted)


@pytest.mark.parametrize("method", LATER)
async def test_what_comes_later_says_so(service: Reporting, method: str) -> None:
    later = (grpc.StatusCode.UNIMPLEMENTED, "NOT_YET_AVAILABLE")
    assert await refused(getattr(service.stub, method)(LATER[method])) == later


async def test_the_export_comes_later_too(service: Reporting) -> None:
    call = service.stub.ExportRecap(pb.ExportRecapRequest(month="2026-08", format=pb.EXPORT_FORMAT_CSV))
    assert await refused(call.read()) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_YET_AVAILABLE")


async def test_every_assessment_is_announced(morning: Reporting, stream: Stream) -> None:
    regency = morning.regency
    await stream.publish([tap(regency, 5, "06:45:00", school=2)], regency=regency)

    async def announced() -> list[events_pb2.DayAssessed]:
        return [day for day in await stream.days(regency) if day.work_date == DAY]

    async def all_announced() -> bool:
        return len(await announced()) >= 8

    await until(all_announced)
    days = await announced()
    assert len(days) == 8
    mine = sorted((day.revision, day) for day in days if day.person_id == person_id(regency, 5))
    assert [(revision, day.slots[0].minutes) for revision, day in mine] == [(1, 31), (2, 0)]
    assert (mine[1][1].regency, mine[1][1].npsn, mine[1][1].work_date) == (regency, "50203002", DAY)


async def test_bad_messages_are_set_aside_and_block_nobody(
    service: Reporting, stream: Stream, registry: CollectorRegistry, migrated: Database
) -> None:
    regency = service.regency
    no_uuid = tap(regency, 1)
    no_uuid.tap.tap_id = "no uuid"
    no_date = tap(regency, 2)
    no_date.tap.work_date = "2026-02-30"
    foreign = tap("9999", 3)
    everybody = [person(regency, number) for number in range(6)]
    await stream.publish(
        [*everybody, no_uuid, tap(regency, 4), no_date, foreign, tap(regency, 5)], regency=regency
    )
    await service.until_present(2)
    durable = f"reporting-taps-{regency}"
    await until(
        lambda: metric(registry, "hadir_consumer_poison_total", consumer=durable, reason="refused") == 3
    )
    administrator = await migrated.connect()
    kept = await administrator.fetch("SELECT error FROM reporting.poison WHERE consumer = $1", durable)
    await administrator.close()
    assert len(kept) == 3
    assert not any("no uuid" in row["error"] for row in kept)


async def test_it_is_ready_without_auth_and_says_that_auth_is_away(service: Reporting) -> None:
    health: Any = health_pb2_grpc.HealthStub(service.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    answers = {
        name: (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == serving
        for name in ("", "hadir.reporting.v1.ReportingService", "database", "auth-keys", "auth")
    }
    assert answers == {
        "": True,
        "hadir.reporting.v1.ReportingService": True,
        "database": True,
        "auth-keys": True,
        "auth": False,
    }


async def test_a_caller_without_a_token_is_told_so(service: Reporting) -> None:
    missing = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
    assert await refused(service.stub.GetBoard(pb.GetBoardRequest())) == missing


async def test_a_token_by_an_unknown_key_cannot_be_judged_while_auth_is_away(service: Reporting) -> None:
    stranger = replace(service, key=ec.generate_private_key(ec.SECP256R1()))
    away = (grpc.StatusCode.UNAVAILABLE, "KEYS_UNAVAILABLE")
    assert await refused(stranger.stub.GetBoard(pb.GetBoardRequest(), **stranger.staff())) == away
    assert (await service.stub.GetBoard(pb.GetBoardRequest(), **service.staff())).total.expected == 0
