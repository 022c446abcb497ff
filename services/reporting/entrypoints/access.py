"""Who may call what. Every method has an entry; the server refuses to start without one. Owned by reporting.

Roles say who may ask at all; units say about whom (`application.scope`). The ICT agency runs the system and sees how a
morning went, never a person (domain rules, "Roles"). RPCs of later releases are public: they tell everybody the same.
"""

from collections.abc import Mapping

from chassis.grpc_server import Access, MethodPolicy
from hadir.reporting.v1 import reporting_service_pb2

_SERVICE = "/hadir.reporting.v1.ReportingService/"

STAFF = (
    "school_operator",
    "head_teacher",
    "liaison",
    "personnel_agency",
    "education_agency",
    "auditor",
)
"""Roles that see people and counts of their unit."""

TEACHER = "teacher"
ICT_AGENCY = "ict_agency"

OFFERED: Mapping[str, Access | MethodPolicy] = {
    f"{_SERVICE}GetBoard": Access.roles(*STAFF),
    f"{_SERVICE}WatchBoard": MethodPolicy(Access.roles(*STAFF), watch=True),
    f"{_SERVICE}GetPeakReport": Access.roles(*STAFF, ICT_AGENCY),
    f"{_SERVICE}ListDays": Access.any_of(Access.device(), Access.roles(*STAFF, TEACHER)),
}


def access_table() -> dict[str, Access | MethodPolicy]:
    """The access rule of every method."""
    table: dict[str, Access | MethodPolicy] = dict(OFFERED)
    for service in reporting_service_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            table.setdefault(f"/{service.full_name}/{method.name}", Access.public())
    return table
