"""CheckinService on gRPC: from messages to use cases and back. No rule lives here."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import grpc
from google.rpc import status_pb2
from protovalidate import Validator

from chassis.clock import Clock
from chassis.errors import InvalidFieldsError
from chassis.grpc_server import arrived_over_edge, client_sent_arrival, entered_at, principal
from chassis.interceptors.validation import checker
from chassis.wire import duration, timestamp
from hadir.checkin.v1 import checkin_service_pb2, checkin_service_pb2_grpc, tap_pb2
from services.checkin.application.commit import Stored
from services.checkin.application.plan import DayPlan, Planner
from services.checkin.application.ports import TapReads
from services.checkin.application.submit import SubmitTap
from services.checkin.domain.anchor import AnchorKeys, issue
from services.checkin.domain.errors import CheckinError, OutOfScopeError
from services.checkin.domain.policy import PolicyBook
from services.checkin.domain.tap import Arrival
from services.checkin.entrypoints.requests import parse_date, receipt_message, received

Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_PLAN_DAYS = 7
# A person taps twice a day; a hundred is a phone gone mad, and still one small answer.
MAX_DAY_RECEIPTS = 100
LIST_BATCH = 500
# A batch's taps are checked one by one, so that a bad one has a result of its own; the layer checks only the rest.
_check_tap = checker(Validator())
# Signature checks between two turns of the loop while a batch comes in: some 2 ms, so that single taps are not held up.
_VERIFY_BURST = 16


def _response(stored: Stored) -> checkin_service_pb2.SubmitTapResponse:
    return checkin_service_pb2.SubmitTapResponse(
        receipt=receipt_message(stored.receipt), duplicate=stored.duplicate, spread=tap_pb2.Spread()
    )


class CheckinServicer(checkin_service_pb2_grpc.CheckinServiceServicer):
    """See protos/hadir/checkin/v1/checkin_service.proto, whose comments are the contract."""

    def __init__(
        self,
        *,
        submit: SubmitTap,
        planner: Planner,
        reads: TapReads,
        book: PolicyBook,
        anchor_keys: AnchorKeys,
        receipt_keys: checkin_service_pb2.GetReceiptKeysResponse,
        clock: Clock,
        status_of: Callable[[Exception], status_pb2.Status],
    ) -> None:
        self._submit = submit
        self._planner = planner
        self._reads = reads
        self._book = book
        self._anchor_keys = anchor_keys
        self._receipt_keys = receipt_keys
        self._clock = clock
        self._status_of = status_of

    def _arrival(self, context: Context) -> Arrival:
        stamped = arrived_over_edge(context, self._clock)
        if stamped is not None:
            return Arrival(stamped)
        return Arrival(entered_at(context), header_ignored=client_sent_arrival(context))

    async def GetClock(
        self, request: checkin_service_pb2.GetClockRequest, context: Context
    ) -> checkin_service_pb2.GetClockResponse:
        """Server time and an anchor for this device and session."""
        del context
        now = self._clock.now()
        anchor = issue(self._anchor_keys, now, UUID(request.device_id), UUID(request.clock_session_id))
        return checkin_service_pb2.GetClockResponse(
            server_time=timestamp(now), anchor=anchor, max_age=duration(self._book.at(now).anchor_max_age)
        )

    async def GetPlan(
        self, request: checkin_service_pb2.GetPlanRequest, context: Context
    ) -> checkin_service_pb2.GetPlanResponse:
        """The caller's coming days, fence and limits."""
        caller = principal(context)
        plan = await self._planner.plan(UUID(caller.subject), request.days or DEFAULT_PLAN_DAYS)
        response = checkin_service_pb2.GetPlanResponse(
            days=[_day(day) for day in plan.days],
            spread=tap_pb2.Spread(),
            late_sync=duration(plan.policy.late_sync),
            policy_version=plan.policy.version,
            zone=plan.policy.zone.key,
            server_time=timestamp(plan.now),
        )
        if plan.school is not None:
            response.fence.latitude = plan.school.latitude
            response.fence.longitude = plan.school.longitude
            response.fence.radius_m = plan.school.radius_m
        return response

    async def SubmitTap(
        self, request: checkin_service_pb2.SubmitTapRequest, context: Context
    ) -> checkin_service_pb2.SubmitTapResponse:
        """Store one tap; answered after the commit."""
        return _response(await self._submit(received(request.tap), self._arrival(context)))

    async def SubmitTaps(
        self, request: checkin_service_pb2.SubmitTapsRequest, context: Context
    ) -> checkin_service_pb2.SubmitTapsResponse:
        """Store up to 500 taps; each has its own result, in order."""
        arrival = self._arrival(context)
        begun: list[Awaitable[Stored | CheckinError] | Exception] = []
        for number, tap in enumerate(request.taps):
            begun.append(await self._begin(tap, arrival))
            if number % _VERIFY_BURST == _VERIFY_BURST - 1:
                await asyncio.sleep(0)
        return checkin_service_pb2.SubmitTapsResponse(results=[await self._result(each) for each in begun])

    async def _begin(
        self, tap: tap_pb2.Tap, arrival: Arrival
    ) -> Awaitable[Stored | CheckinError] | Exception:
        try:
            _check_tap(tap)
            return await self._submit.begin(received(tap), arrival)
        except (CheckinError, InvalidFieldsError) as error:
            return error

    async def _result(
        self, begun: Awaitable[Stored | CheckinError] | Exception
    ) -> checkin_service_pb2.TapResult:
        try:
            outcome = begun if isinstance(begun, Exception) else await begun
        except Exception as error:  # noqa: BLE001  one tap's failure is its own result, not the batch's
            outcome = error
        if isinstance(outcome, Stored):
            return checkin_service_pb2.TapResult(accepted=_response(outcome))
        return checkin_service_pb2.TapResult(error=self._status_of(outcome))

    async def GetMyDay(
        self, request: checkin_service_pb2.GetMyDayRequest, context: Context
    ) -> checkin_service_pb2.GetMyDayResponse:
        """The caller's taps of one work date."""
        day = parse_date(request.work_date, "work_date") or self._planner.today()
        receipts = await self._reads.of_day(UUID(principal(context).subject), day, MAX_DAY_RECEIPTS)
        return checkin_service_pb2.GetMyDayResponse(
            work_date=day.isoformat(),
            receipts=[receipt_message(receipt) for receipt in receipts],
            taps=[tap_pb2.ReceiptContent.FromString(receipt.content) for receipt in receipts],
        )

    async def GetReceiptKeys(
        self, request: checkin_service_pb2.GetReceiptKeysRequest, context: Context
    ) -> checkin_service_pb2.GetReceiptKeysResponse:
        """The keys receipts are signed with."""
        del request, context
        return self._receipt_keys

    async def ListTaps(
        self, request: checkin_service_pb2.ListTapsRequest, context: Context
    ) -> AsyncIterator[checkin_service_pb2.ListTapsResponse]:
        """Stored taps in tap_id order: the whole regency's, so for services and for roles that hold in all of it."""
        caller = principal(context)
        if caller.kind != "service" and caller.unit != f"regency:{self._submit.regency}":
            raise OutOfScopeError
        first = parse_date(request.from_work_date, "from_work_date")
        last = parse_date(request.to_work_date, "to_work_date")
        after = UUID(request.after_tap_id) if request.after_tap_id else None
        async for taps in self._reads.listing(
            first, last, after, practice=request.include_practice, batch=LIST_BATCH
        ):
            yield checkin_service_pb2.ListTapsResponse(
                taps=[
                    checkin_service_pb2.StoredTap(
                        evidence=tap.evidence,
                        signature=tap.signature,
                        device_id=str(tap.device_id),
                        receipt=receipt_message(tap.receipt),
                        npsn=tap.npsn or "",
                        network=tap_pb2.TapEvidence.FromString(tap.evidence).network,
                    )
                    for tap in taps
                ]
            )


def _day(day: DayPlan) -> checkin_service_pb2.DayPlan:
    return checkin_service_pb2.DayPlan(
        work_date=day.work_date.isoformat(),
        working_day=day.reason is None,
        reason=day.reason or "",
        windows=[
            checkin_service_pb2.SlotWindow(
                slot=tap_pb2.Slot.ValueType(window.slot),
                opens=timestamp(window.opens),
                on_time_until=timestamp(window.on_time_until),
                closes=timestamp(window.closes),
            )
            for window in day.windows
        ],
    )
