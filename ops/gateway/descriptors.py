"""The descriptor set by which Envoy turns JSON into gRPC and back, taken from the generated code itself.

Owner: gateway. Nothing is compiled or kept in a file of its own here, so the edge cannot speak another
version of the protos than the services beside it.
"""

from collections.abc import Iterator, Mapping

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

from hadir.auth.v1 import auth_service_pb2, roster_service_pb2
from hadir.checkin.v1 import checkin_service_pb2, incident_service_pb2, policy_service_pb2
from hadir.reporting.v1 import reporting_service_pb2

# Which upstream serves a file's services. Every file with an RPC that the outside may call stands here.
PUBLIC_FILES: Mapping[str, tuple[FileDescriptor, ...]] = {
    "auth": (auth_service_pb2.DESCRIPTOR, roster_service_pb2.DESCRIPTOR),
    "checkin": (
        checkin_service_pb2.DESCRIPTOR,
        incident_service_pb2.DESCRIPTOR,
        policy_service_pb2.DESCRIPTOR,
    ),
    "reporting": (reporting_service_pb2.DESCRIPTOR,),
}

# Named by no RPC, yet carried inside google.protobuf.Any by every refusal: Envoy can only print what it
# knows.
_ERROR_FILES: tuple[FileDescriptor, ...] = (status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)


def service_names() -> tuple[str, ...]:
    """Full names of all public gRPC services, sorted: what the edge transcodes."""
    names = (
        service.full_name
        for files in PUBLIC_FILES.values()
        for file in files
        for service in file.services_by_name.values()
    )
    return tuple(sorted(names))


def methods(upstream: str) -> Iterator[MethodDescriptor]:
    """Every RPC that `upstream` ("auth", "checkin", "reporting") serves, in the order of the protos."""
    for file in PUBLIC_FILES[upstream]:
        for service in file.services_by_name.values():
            yield from service.methods


def descriptor_set() -> bytes:
    """A serialized google.protobuf.FileDescriptorSet of all public services with everything they import.

    Dependencies come before what needs them, as readers of such a set (Envoy, `grpcurl -protoset`) expect.
    """
    ordered: dict[str, FileDescriptor] = {}

    def visit(file: FileDescriptor) -> None:
        if file.name not in ordered:
            for dependency in file.dependencies:
                visit(dependency)
            ordered[file.name] = file

    for files in (*PUBLIC_FILES.values(), _ERROR_FILES):
        for file in files:
            visit(file)
    protos = (FileDescriptorProto.FromString(file.serialized_pb) for file in ordered.values())
    return FileDescriptorSet(file=protos).SerializeToString(deterministic=True)
