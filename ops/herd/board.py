"""What reporting tells an agency about the run, through its API: board, peak report, days. Owner: herd."""

from dataclasses import dataclass

import grpc

from hadir.events.v1 import events_pb2
from hadir.reporting.v1 import reporting_service_pb2, reporting_service_pb2_grpc
from ops.herd.evidence import SLOTS
from ops.herd.options import Slot
from ops.herd.rpc import call, staff
from ops.herd.target import StackTarget

_PAGE = 1000
_MOST_PAGES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardView:
    """The run as the agency sees it; a day holds earlier runs too.

    Attributes:
        expected, present, late, missing, flagged: heads on the board of the slot.
        peak_taps: taps of the slot in the peak report.
        peak_people: people with a tap in it.
        peak_wait_p99_ms: its 99th percentile of stored minus first arrival.
        peak_seconds_to_100: its seconds from the first arrival until all were stored.
        days_with_tap: person-days with a counting tap in the slot (ListDays).
    """

    expected: int
    present: int
    late: int
    missing: int
    flagged: int
    peak_taps: int
    peak_people: int
    peak_wait_p99_ms: float
    peak_seconds_to_100: float
    days_with_tap: int


async def read_board(target: StackTarget, channel: grpc.aio.Channel, work_date: str, slot: Slot) -> BoardView:
    """Asks for all three.

    Raises:
        HerdError: reporting refused or did not answer.
    """
    stub = reporting_service_pb2_grpc.ReportingServiceStub(channel)
    board_request = reporting_service_pb2.GetBoardRequest(work_date=work_date, slot=SLOTS[slot])
    board = await call(stub.GetBoard, board_request, what="GetBoard", metadata=staff(target))
    peak_request = reporting_service_pb2.GetPeakReportRequest(work_date=work_date, slot=SLOTS[slot])
    peak = await call(stub.GetPeakReport, peak_request, what="GetPeakReport", metadata=staff(target))
    total = board.total
    return BoardView(
        expected=total.expected,
        present=total.present,
        late=total.late,
        missing=total.missing,
        flagged=total.flagged,
        peak_taps=peak.taps,
        peak_people=peak.people,
        peak_wait_p99_ms=peak.wait_p99_ms,
        peak_seconds_to_100=peak.seconds_to_100,
        days_with_tap=await _days_with_tap(target, stub, work_date, slot),
    )


async def _days_with_tap(
    target: StackTarget,
    stub: reporting_service_pb2_grpc.ReportingServiceStub,
    work_date: str,
    slot: Slot,
) -> int:
    found, token = 0, ""
    for _ in range(_MOST_PAGES):
        request = reporting_service_pb2.ListDaysRequest(
            from_date=work_date, to_date=work_date, page_size=_PAGE, page_token=token
        )
        page = await call(stub.ListDays, request, what="ListDays", metadata=staff(target))
        found += sum(_has_tap(day.assessment, slot) for day in page.days)
        token = page.next_page_token
        if not token:
            break
    return found


def _has_tap(day: events_pb2.DayAssessed, slot: Slot) -> bool:
    return any(part.slot == SLOTS[slot] and part.tap_id for part in day.slots)
