"""Server reflection that also finds methods, as tools like ghz and `grpcurl describe` ask for them.

Owner: chassis. protobuf's own pool finds messages, enums and services by name, but no methods (upb); a method lies in
the file of its service.
"""

from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool


class MethodFindingPool:
    """A descriptor pool for grpc_reflection: everything as the pool given, and methods by their full names."""

    def __init__(self, pool: DescriptorPool | None = None) -> None:
        self._pool: Any = pool or Default()

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - protobuf's name
        """The file that defines a symbol.

        Raises:
            KeyError: nothing of that name is known.
        """
        try:
            found: FileDescriptor = self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service_name, _, method = symbol.rpartition(".")
            service = self._pool.FindServiceByName(service_name)
            found = service.methods_by_name[method].containing_service.file
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
