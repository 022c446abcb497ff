"""The gRPC face of reporting: translates, checks the caller's unit, asks a use case. Owned by reporting.

RPCs of later releases (recap, ledger, signal map, lock, export) answer UNIMPLEMENTED (NOT_YET_AVAILABLE).
"""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.clock import Clock
from chassis.grpc_server import not_yet_available, principal
from chassis.wire import timestamp
from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from hadir.reporting.v1 import reporting_service_pb2 as pb
from hadir.reporting.v1 import reporting_service_pb2_grpc
from services.reporting.application.boards import Boards
from services.reporting.application.errors import DateOutOfBoundsError, InvalidDateError
from services.reporting.application.ports import AssessedDay, Queries
from services.reporting.application.reports import DaysAsked, list_days, peak_report
from services.reporting.application.scope import Caller, area_of
from services.reporting.domain.board import Area, Counts, Row
from services.reporting.domain.facts import Slot
from services.reporting.entrypoints.access import TEACHER

Context = grpc.aio.ServicerContext[Any, Any]

FIRST_YEAR, LAST_YEAR = 2000, 2200
"""Years of the dates that may be asked for: no attendance lies outside them, and no sum of dates inside them leaves
the calendar."""


class DayMessage(Protocol):
    """Makes the message of an assessed day."""

    def __call__(self, day: AssessedDay, *, regency: str, revision: int) -> events_pb2.DayAssessed:
        """An assessment as others see it."""


class ReportingServicer(reporting_service_pb2_grpc.ReportingServiceServicer):
    """`hadir.reporting.v1.ReportingService`.

    Args:
        queries: of the read model.
        boards: shared boards.
        clock: the time.
        zone: in which "today" is a date.
        regency: of this deployment, four digits.
        day_message: makes messages of assessed days.
    """

    def __init__(
        self,
        *,
        queries: Queries,
        boards: Boards,
        clock: Clock,
        zone: ZoneInfo,
        regency: str,
        day_message: DayMessage,
    ) -> None:
        self._queries = queries
        self._boards = boards
        self._clock = clock
        self._zone = zone
        self._regency = regency
        self._day_message = day_message

    GetMonthlyRecap = not_yet_available
    GetHourLedger = not_yet_available
    GetSignalMap = not_yet_available
    LockRecap = not_yet_available
    ExportRecap = not_yet_available

    async def GetBoard(self, request: pb.GetBoardRequest, context: Context) -> pb.GetBoardResponse:
        """The counts of a slot per district and school of the caller's unit."""
        work_date, slot = self._date(request.work_date, "work_date"), _slot(request.slot)
        area = await self._area(context, request.unit)
        board, as_of = await self._boards.board(work_date, slot, area)
        return pb.GetBoardResponse(
            work_date=work_date.isoformat(),
            slot=tap_pb2.Slot.ValueType(slot),
            total=_counts(board.total),
            rows=map(_row, board.rows),
            as_of=timestamp(as_of),
        )

    async def WatchBoard(
        self, request: pb.WatchBoardRequest, context: Context
    ) -> AsyncIterator[pb.WatchBoardResponse]:
        """The whole board, then what changes; a watch of "today" ends with the day."""
        work_date, slot = self._date(request.work_date, "work_date"), _slot(request.slot)
        area = await self._area(context, request.unit)
        until = None if request.work_date else self._end_of(work_date)
        async for update in self._boards.watch(work_date, slot, area, until=until):
            yield pb.WatchBoardResponse(
                total=_counts(update.total),
                rows=map(_row, update.rows),
                as_of=timestamp(update.as_of),
                full=update.full,
            )

    async def ListDays(self, request: pb.ListDaysRequest, context: Context) -> pb.ListDaysResponse:
        """A page of assessed person-days; a teacher's own only."""
        first = self._date(request.from_date, "from_date")
        days, token = await list_days(
            _caller(context),
            DaysAsked(
                first=first,
                last=self._date(request.to_date, "to_date") if request.to_date else first,
                unit=request.unit,
                person_id=request.person_id,
                page_size=request.page_size,
                page_token=request.page_token,
            ),
            regency=self._regency,
            queries=self._queries,
        )
        return pb.ListDaysResponse(
            days=[
                pb.Day(
                    assessment=self._day_message(day.assessed, regency=self._regency, revision=day.revision),
                    nip=day.nip,
                    name=day.name,
                )
                for day in days
            ],
            next_page_token=token,
        )

    async def GetPeakReport(
        self, request: pb.GetPeakReportRequest, context: Context
    ) -> pb.GetPeakReportResponse:
        """How the rush of a slot went in the caller's unit."""
        work_date, slot = self._date(request.work_date, "work_date"), _slot(request.slot)
        area = await self._area(context, "")
        peak, expected = await peak_report(work_date, slot, area, queries=self._queries, boards=self._boards)
        return pb.GetPeakReportResponse(
            work_date=work_date.isoformat(),
            slot=tap_pb2.Slot.ValueType(slot),
            expected=expected,
            taps=peak.taps,
            people=peak.people,
            first_arrival=None if peak.first_arrival is None else _micros(peak.first_arrival),
            seconds_to_50=peak.seconds_to[0],
            seconds_to_90=peak.seconds_to[1],
            seconds_to_99=peak.seconds_to[2],
            seconds_to_100=peak.seconds_to[3],
            wait_p50_ms=peak.wait_ms[0],
            wait_p90_ms=peak.wait_ms[1],
            wait_p99_ms=peak.wait_ms[2],
            wait_max_ms=peak.wait_ms[3],
            seconds=[
                pb.SecondCount(second=_micros(count.second), arrived=count.arrived, stored=count.stored)
                for count in peak.seconds
            ],
            flagged=peak.review,
        )

    async def _area(self, context: Context, unit: str) -> Area:
        return await area_of(_caller(context), unit, regency=self._regency, queries=self._queries)

    def _date(self, text: str, field: str) -> date:
        if not text:
            return self._clock.now().astimezone(self._zone).date()
        try:
            found = date.fromisoformat(text)
        except ValueError as error:
            raise InvalidDateError(field=field) from error
        if not FIRST_YEAR <= found.year <= LAST_YEAR:
            raise DateOutOfBoundsError(field=field, first=str(FIRST_YEAR), last=str(LAST_YEAR))
        return found

    def _end_of(self, work_date: date) -> datetime:
        return datetime.combine(work_date + timedelta(days=1), time(), tzinfo=self._zone).astimezone(UTC)


def _caller(context: Context) -> Caller:
    who = principal(context)
    own_only = who.kind == "device" or who.roles <= {TEACHER}
    return Caller(person_id=who.subject.lower() if own_only else None, unit=who.unit)


def _slot(slot: int) -> Slot:
    return Slot(slot) if slot else Slot.IN


def _counts(counts: Counts) -> pb.BoardCounts:
    return pb.BoardCounts(
        expected=counts.expected,
        present=counts.present,
        late=counts.late,
        missing=counts.missing,
        flagged=counts.flagged,
    )


def _row(row: Row) -> pb.BoardRow:
    return pb.BoardRow(
        level=pb.UnitLevel.ValueType(row.level),
        code=row.code,
        name=row.name,
        district_code=row.district_code,
        counts=_counts(row.counts),
    )


def _micros(moment: int) -> Timestamp:
    return Timestamp(seconds=moment // 1_000_000, nanos=moment % 1_000_000 * 1_000)
