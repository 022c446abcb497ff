"""Who may call what. Every method has an entry; the server refuses to start without one.

A tap is its own credential (certificate and signature), and a phone with a wild clock must get the time before it can
prove anything: those methods are public. RPCs of later releases are public too: they tell everybody the same.
"""

from collections.abc import Mapping

from chassis.grpc_server import Access
from hadir.checkin.v1 import checkin_service_pb2, incident_service_pb2, policy_service_pb2

_CHECKIN = "/hadir.checkin.v1.CheckinService/"
_POLICY = "/hadir.checkin.v1.PolicyService/"

OFFERED: Mapping[str, Access] = {
    f"{_CHECKIN}GetClock": Access.public(),
    f"{_CHECKIN}GetPlan": Access.device(),
    f"{_CHECKIN}SubmitTap": Access.public(),
    f"{_CHECKIN}SubmitTaps": Access.public(),
    f"{_CHECKIN}GetMyDay": Access.device(),
    f"{_CHECKIN}GetReceiptKeys": Access.public(),
    f"{_CHECKIN}ListTaps": Access.roles("service", "personnel_agency", "auditor"),
    f"{_POLICY}GetLoadForecast": Access.roles("service", "personnel_agency", "ict_agency"),
}


def access_table() -> dict[str, Access]:
    """The access rule of every method of the three services."""
    table = dict(OFFERED)
    for module in (checkin_service_pb2, policy_service_pb2, incident_service_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                table.setdefault(f"/{service.full_name}/{method.name}", Access.public())
    return table
