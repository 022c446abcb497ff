"""RPCs of later releases: each answers UNIMPLEMENTED (NOT_YET_AVAILABLE); docs/api.md lists them."""

from typing import Any, NoReturn

from chassis.errors import NotYetAvailable
from hadir.checkin.v1 import incident_service_pb2_grpc


async def _later(_servicer: object, _request: object, _context: object) -> NoReturn:
    raise NotYetAvailable


# Stands for a method that is not offered yet, whatever its messages are: hence no narrower type.
later: Any = _later


class LaterIncidentServicer(incident_service_pb2_grpc.IncidentServiceServicer):
    """See protos/hadir/checkin/v1/incident_service.proto: the whole service comes with incident reports."""

    DraftIncident = later
    SignIncident = later
    EndorseIncident = later
    DecideIncident = later
    WithdrawIncident = later
    DeclareOutage = later
    AttachEvidence = later
    GetIncident = later
    ListIncidents = later
