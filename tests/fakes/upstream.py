"""A gRPC service in place of the real ones, for tests of the edge alone: says what it was asked, answers as
told.

Owner: gateway.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

Answer = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]


@dataclass
class Seen:
    """One call as it reached the service."""

    method: str
    metadata: dict[str, str]
    body: bytes


@dataclass
class FakeUpstream(grpc.GenericRpcHandler):
    """Serves any unary method; unknown ones answer an empty message, which every protobuf type can be read
    from."""

    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    _server: grpc.aio.Server | None = None

    def answer(self, method: str, message: Message) -> None:
        """Answers `method` (its full name with the leading slash) with `message`."""

        async def reply(_request: bytes, _context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            return message.SerializeToString()

        self.answers[method] = reply

    @property
    def serving(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._server is not None

    async def start(self, address: str) -> None:
        # As the services' limit: the edge's own is the smaller one.
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", 4 * 1024 * 1024),
                # As the services set them: C-core would refuse at random what waits for Python.
                ("grpc.server.max_pending_requests", 100_000),
                ("grpc.server.max_pending_requests_hard_limit", 100_000),
            )
        )
        self._server.add_generic_rpc_handlers((self,))
        health = health_aio.HealthServicer()
        await health.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health, self._server)
        self._server.add_insecure_port(address)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        method = handler_call_details.method
        if method.startswith("/grpc."):
            return None

        async def handle(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            pairs = context.invocation_metadata() or ()
            self.seen.append(Seen(method, {key: str(value) for key, value in pairs}, request))
            answer = self.answers.get(method)
            return await answer(request, context) if answer else b""

        return grpc.unary_unary_rpc_method_handler(handle)
