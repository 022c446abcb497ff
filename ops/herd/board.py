"""What reporting tells an agency, through its API: board, peak report, days. Owner: herd."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from hadir.events.v1 import events_pb2
from hadir.reporting.v1 import reporting_service_pb2, reporting_service_pb2_grpc
from ops.herd.evidence import SLOTS
from ops.herd.options import Slot
from ops.herd.rpc import call, staff
from ops.herd.target import StackTarget

_PAGE = 1000
_MOST_PAGES = 10_000

_COUNTING = frozenset(
    {
        events_pb2.SLOT_RESULT_PRESENT,
        events_pb2.SLOT_RESULT_LATE,
        events_pb2.SLOT_RESULT_EARLY_LEAVE,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardView:
    """A slot of a date as the agency sees it; earlier runs of the day are in it too.

    Attributes:
        expected, present, late, missing, flagged: heads on the board of the slot.
        peak_taps: taps of the slot in the peak report.
        peak_people: people with a tap in it.
        peak_wait_p99_ms: its 99th percentile of stored minus first arrival.
        peak_seconds_to_100: its seconds from the first arrival until all were stored.
        days_with_tap: people with a counting tap in the slot (ListDays).
        days_doubled: person-days that ListDays gave more than once.
    """

    expected: int = 0
    present: int = 0
    late: int = 0
    missing: int = 0
    flagged: int = 0
    peak_taps: int = 0
    peak_people: int = 0
    peak_wait_p99_ms: float = 0.0
    peak_seconds_to_100: float = 0.0
    days_with_tap: int = 0
    days_doubled: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """One look at all three.

    Attributes:
        work_date: YYYY-MM-DD, local.
        view: the figures.
        results: by person_id, what became of the slot (`SlotResult`), of everybody with a counting tap.
    """

    work_date: str
    view: BoardView = field(default_factory=BoardView)
    results: Mapping[str, int] = field(default_factory=dict)


async def look(target: StackTarget, channel: grpc.aio.Channel, work_date: str, slot: Slot) -> Sight:
    """Asks for all three; an empty date means the server's today.

    Raises:
        HerdError: reporting refused or did not answer.
    """
    stub = reporting_service_pb2_grpc.ReportingServiceStub(channel)
    board_request = reporting_service_pb2.GetBoardRequest(work_date=work_date, slot=SLOTS[slot])
    board = await call(stub.GetBoard, board_request, what="GetBoard", metadata=staff(target))
    # Asked by the board's own date, so that midnight cannot come between the three.
    peak_request = reporting_service_pb2.GetPeakReportRequest(work_date=board.work_date, slot=SLOTS[slot])
    peak = await call(stub.GetPeakReport, peak_request, what="GetPeakReport", metadata=staff(target))
    days, results = await _days(target, stub, board.work_date, slot)
    total = board.total
    return Sight(
        work_date=board.work_date,
        view=BoardView(
            expected=total.expected,
            present=total.present,
            late=total.late,
            missing=total.missing,
            flagged=total.flagged,
            peak_taps=peak.taps,
            peak_people=peak.people,
            peak_wait_p99_ms=peak.wait_p99_ms,
            peak_seconds_to_100=peak.seconds_to_100,
            days_with_tap=len(results),
            days_doubled=sum(times > 1 for times in days.values()),
        ),
        results=results,
    )


async def _days(
    target: StackTarget,
    stub: reporting_service_pb2_grpc.ReportingServiceStub,
    work_date: str,
    slot: Slot,
) -> tuple[Counter[str], dict[str, int]]:
    """How often each person's day is listed, and the counting results."""
    days: Counter[str] = Counter()
    results: dict[str, int] = {}
    token = ""
    for _ in range(_MOST_PAGES):
        request = reporting_service_pb2.ListDaysRequest(
            from_date=work_date, to_date=work_date, page_size=_PAGE, page_token=token
        )
        page = await call(stub.ListDays, request, what="ListDays", metadata=staff(target))
        for day in page.days:
            person = day.assessment.person_id
            days[person] += 1
            for part in day.assessment.slots:
                if part.slot == SLOTS[slot] and part.result in _COUNTING:
                    results[person] = part.result
        token = page.next_page_token
        if not token:
            break
    return days, results
