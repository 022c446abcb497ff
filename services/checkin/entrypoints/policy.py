"""PolicyService on gRPC. The load forecast is here; publishing policies and the spread belong to later releases."""

from typing import Any

import grpc

from chassis.grpc_server import not_yet_available
from chassis.wire import timestamp
from hadir.checkin.v1 import policy_service_pb2, policy_service_pb2_grpc, tap_pb2
from services.checkin.application.plan import Planner
from services.checkin.entrypoints.requests import parse_date

Context = grpc.aio.ServicerContext[Any, Any]


class PolicyServicer(policy_service_pb2_grpc.PolicyServiceServicer):
    """See protos/hadir/checkin/v1/policy_service.proto, whose comments are the contract."""

    def __init__(self, *, planner: Planner) -> None:
        self._planner = planner

    PublishPolicy = not_yet_available
    GetPolicy = not_yet_available
    ListPolicies = not_yet_available
    DiffPolicies = not_yet_available
    SetSpread = not_yet_available

    async def GetLoadForecast(
        self, request: policy_service_pb2.GetLoadForecastRequest, context: Context
    ) -> policy_service_pb2.GetLoadForecastResponse:
        """Expected heads per window of a date."""
        del context
        forecast = await self._planner.forecast(parse_date(request.date, "date") or self._planner.today())
        return policy_service_pb2.GetLoadForecastResponse(
            date=forecast.day.isoformat(),
            working_day=bool(forecast.windows),
            windows=[
                policy_service_pb2.WindowForecast(
                    slot=tap_pb2.Slot.ValueType(each.window.slot),
                    week_days=each.week_days,
                    opens=timestamp(each.window.opens),
                    on_time_until=timestamp(each.window.on_time_until),
                    closes=timestamp(each.window.closes),
                    heads=each.heads,
                )
                for each in forecast.windows
            ],
            people=forecast.people,
            spread=tap_pb2.Spread(),
            policy_version=forecast.policy.version,
        )
