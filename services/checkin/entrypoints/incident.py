"""IncidentService on gRPC: declared, and not offered before incident reports are built."""

from chassis.grpc_server import not_yet_available
from hadir.checkin.v1 import incident_service_pb2_grpc


class IncidentServicer(incident_service_pb2_grpc.IncidentServiceServicer):
    """See protos/hadir/checkin/v1/incident_service.proto."""

    DraftIncident = not_yet_available
    SignIncident = not_yet_available
    EndorseIncident = not_yet_available
    DecideIncident = not_yet_available
    WithdrawIncident = not_yet_available
    DeclareOutage = not_yet_available
    AttachEvidence = not_yet_available
    GetIncident = not_yet_available
    ListIncidents = not_yet_available
