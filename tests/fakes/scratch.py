"""A gRPC service of all four kinds whose behaviour a test gives, served by the real server. Owner: chassis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry

from chassis.clock import Clock
from chassis.errors import ErrorTable, reason_of
from chassis.grpc_server import Access, GrpcServer, MethodPolicy
from chassis.settings import ServiceSettings
from chassis.tokens import TokenVerifier
from hadir.checkin.v1.checkin_service_pb2 import GetClockRequest
from tests.fakes.clock import FakeClock

SERVICE = "hadir.test.v1.Scratch"
KINDS: Mapping[str, tuple[Callable[..., Any], Any]] = {
    "Echo": (grpc.unary_unary_rpc_method_handler, StringValue),
    "Ruled": (grpc.unary_unary_rpc_method_handler, GetClockRequest),
    "Count": (grpc.unary_stream_rpc_method_handler, StringValue),
    "Watch": (grpc.unary_stream_rpc_method_handler, StringValue),
    "Write": (grpc.unary_stream_rpc_method_handler, StringValue),
    "Collect": (grpc.stream_unary_rpc_method_handler, GetClockRequest),
    "Chat": (grpc.stream_stream_rpc_method_handler, GetClockRequest),
}
METHODS = tuple(f"/{SERVICE}/{name}" for name in KINDS)

Behaviour = Callable[[Any, Any], Awaitable[str]]


async def _answer(request: Any, context: Any) -> str:
    return str(request.value)


@dataclass
class Scratch:
    """Answers by `behaviour`; streams answer three times, then do what `behaviour` does."""

    behaviour: Behaviour = _answer
    seen: list[Any] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def Echo(self, request: Any, context: Any) -> StringValue:
        self.seen.append(request)
        try:
            return StringValue(value=await self.behaviour(request, context))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Ruled(self, request: Any, context: Any) -> StringValue:
        self.seen.append(request)
        return StringValue(value=request.device_id)

    async def Count(self, request: Any, context: Any) -> AsyncGenerator[StringValue, None]:
        try:
            for number in range(3):
                yield StringValue(value=str(number))
            yield StringValue(value=await self.behaviour(request, context))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    Watch = Count

    async def Write(self, request: Any, context: Any) -> None:
        await context.write(StringValue(value="0"))
        await context.write(StringValue(value=await self.behaviour(request, context)))

    async def Collect(self, request: AsyncIterator[Any], context: Any) -> StringValue:
        async for item in request:
            self.seen.append(item)
        return StringValue(value=str(len(self.seen)))

    async def Chat(self, request: AsyncIterator[Any], context: Any) -> AsyncGenerator[StringValue, None]:
        async for item in request:
            self.seen.append(item)
            yield StringValue(value=item.device_id)


def add_scratch_to_server(servicer: Any, server: Any) -> None:
    """What a generated add_..._to_server does."""
    handlers = {
        name: make(
            getattr(servicer, name),
            request_deserializer=request.FromString,
            response_serializer=StringValue.SerializeToString,
        )
        for name, (make, request) in KINDS.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


def settings_for(**changes: Any) -> ServiceSettings:
    """Settings of a service on loopback that stops at once."""
    given: dict[str, Any] = {
        "environment": "development", "regency": "5202", "database_url": "postgresql+asyncpg://nobody@nowhere/none",
        "nats_url": "nats://nowhere:4222", "grpc_listen": "127.0.0.1:0", "drain_wait_seconds": 0, "grace_seconds": 5,
    }  # fmt: skip
    return ServiceSettings(**(given | changes))


@dataclass
class Running:
    """A server that serves a Scratch, and where it is reached."""

    server: GrpcServer
    scratch: Scratch
    registry: CollectorRegistry
    clock: FakeClock
    direct: str
    edge: str


@asynccontextmanager
async def serving(
    directory: Path,
    *,
    behaviour: Behaviour = _answer,
    access: Access | None = None,
    policies: Mapping[str, Access | MethodPolicy] | None = None,
    errors: ErrorTable | None = None,
    verifier: TokenVerifier | None = None,
    clock: FakeClock | None = None,
    **more: Any,
) -> AsyncGenerator[Running, None]:
    """Runs the real server with a Scratch behind it; public unless told otherwise."""
    settings_changes = {key: more.pop(key) for key in list(more) if key in ServiceSettings.model_fields}
    edge = f"unix:{directory}/edge.sock"
    registry = CollectorRegistry()
    used: FakeClock = clock or FakeClock()
    serving_clock: Clock = used
    server = GrpcServer(
        settings=settings_for(edge_listen=edge, **settings_changes),
        clock=serving_clock,
        registry=registry,
        verifier=verifier,
        errors=errors or {},
        access=dict.fromkeys(METHODS, access or Access.public()) | dict(policies or {}),
        **more,
    )
    scratch = Scratch(behaviour)
    server.add(add_scratch_to_server, scratch)
    await server.start()
    try:
        yield Running(server, scratch, registry, used, server.addresses[0], edge)
    finally:
        await server.stop()


class Caller:
    """A plain client of the Scratch: bytes in, bytes out, so that it can send what no honest client would."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def unary(self, name: str) -> Any:
        return self._channel.unary_unary(f"/{SERVICE}/{name}")

    def stream(self, name: str) -> Any:
        return self._channel.unary_stream(f"/{SERVICE}/{name}")

    def send(self, name: str) -> Any:
        return self._channel.stream_unary(f"/{SERVICE}/{name}")

    def chat(self, name: str) -> Any:
        return self._channel.stream_stream(f"/{SERVICE}/{name}")


@asynccontextmanager
async def calling(target: str, **options: Any) -> AsyncGenerator[Caller, None]:
    """A plain channel, without any of our client's comforts."""
    async with grpc.aio.insecure_channel(target, options=tuple(options.items())) as channel:
        yield Caller(channel)


def text(value: str) -> bytes:
    """A StringValue as bytes."""
    return StringValue(value=value).SerializeToString()


@dataclass(frozen=True)
class Refusal:
    """An error as a client got it."""

    code: grpc.StatusCode
    reason: str
    texts: Mapping[str, str]
    status: status_pb2.Status
    metadata: Mapping[str, str | bytes]

    @property
    def fields(self) -> list[str]:
        """The paths of the fields that were wrong."""
        bad = error_details_pb2.BadRequest()
        return [
            violation.field
            for detail in self.status.details
            if detail.Unpack(bad)
            for violation in bad.field_violations
        ]


async def refusal(call: Awaitable[Any]) -> Refusal:
    """The error a call ends with; an answer is a failure of the test."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        metadata = {str(key): value for key, value in error.trailing_metadata() or ()}
        details = metadata.get("grpc-status-details-bin", b"")
        status = status_pb2.Status.FromString(details if isinstance(details, bytes) else details.encode())
        texts = {}
        localized = error_details_pb2.LocalizedMessage()
        for detail in status.details:
            if detail.Unpack(localized):
                texts[localized.locale] = localized.message
        return Refusal(error.code(), reason_of(status), texts, status, metadata)
    raise AssertionError(f"answered {answer!r}")


async def drained(stream: Any, into: list[Any] | None = None) -> list[Any]:
    """All answers of a stream; `into` has those that came before an error."""
    got = [] if into is None else into
    async for item in stream:
        got.append(item)
    return got
