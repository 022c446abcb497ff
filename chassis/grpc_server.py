"""The gRPC server every service runs: its layers, listeners, limits, health, reflection and orderly end.

Owner: chassis. Handlers are wrapped once, when a service is registered, and not per call; generated
`add_XServicer_to_server` functions work unchanged. Why: docs/decisions/0030-grpc-layers.md (the layers) and
docs/decisions/0031-grpc-listeners-and-limits.md (two servers in one process, and each limit).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_NAME
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from prometheus_client import CollectorRegistry
from protovalidate import Validator

from chassis.clock import Clock
from chassis.database import is_contended, is_unavailable
from chassis.errors import ErrorMapper, ErrorTable
from chassis.health import HealthRegistry
from chassis.interceptors import deadline
from chassis.interceptors.auth import Access, MethodPolicy
from chassis.interceptors.call import arrived_over_edge, client_sent_arrival, entered_at, principal
from chassis.interceptors.compose import Handler, Layers, not_yet_available
from chassis.metrics import GrpcServerMetrics
from chassis.reflection import MethodFindingPool
from chassis.settings import ServiceSettings
from chassis.tokens import TokenVerifier

__all__ = [
    "Access", "GrpcServer", "MethodPolicy", "arrived_over_edge", "client_sent_arrival", "entered_at",
    "not_yet_available", "principal",
]  # fmt: skip

logger = logging.getLogger(__name__)

UNARY_TIMEOUT = timedelta(seconds=30)

# 500 taps of at most evidence 2,048 + signature 72 + certificate 2,048 + ticket 512 and framing are 2.3 MiB.
MAX_RECEIVE_BYTES = 3 * 1024 * 1024
# One page or message of an answer; longer ones are streams.
MAX_SEND_BYTES = 4 * 1024 * 1024
# A certificate (2 KiB) and a proof (1 KiB) beside the usual headers; gRPC's own default of 8 KiB would just do.
MAX_METADATA_BYTES = 16 * 1024
# The whole herd may be on its way to one replica when the other is gone; admission is the service's own limiter.
MAX_PENDING_REQUESTS = 20_000
MAX_CONCURRENT_STREAMS = 4_096

SERVER_OPTIONS: tuple[tuple[str, Any], ...] = (
    # Two processes on one port by accident must be an error, not a coin toss per connection.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    ("grpc.max_send_message_length", MAX_SEND_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", MAX_CONCURRENT_STREAMS),
    # gRPC's own protection resets streams at random from half of that limit on, and clients see a bare UNAVAILABLE.
    # Without it they wait for their turn, as HTTP/2 means it; rapid resets are the edge's business.
    ("grpc.http.overload_protection", 0),
    ("grpc.server.max_pending_requests", MAX_PENDING_REQUESTS),
    ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_REQUESTS),
    # A call that waited longer than the edge's timeout before we took it up has nobody waiting for it.
    ("grpc.server_max_unrequested_time_in_server", 10),
    # Phones vanish without a word: find out within 80 s, and allow their own pings every 10 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Connections are renewed, so that new replicas get their share; idle ones go.
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.max_connection_age_ms", 1_800_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)


# Health and reflection are public, here as everywhere; who watches them must not hold up the end.
_BUILT_IN_POLICY = MethodPolicy(Access.public(), watch=True)


class _Recorder:
    """Stands in for the server while a generated function registers a service, and keeps the method handlers."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Handler]] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[object]) -> None:
        """Not needed: the registered handlers below are the same ones."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Keeps a service's handlers."""
        self.services[service_name] = dict(method_handlers)


class GrpcServer:
    """A server to which services are added, then started once and stopped once.

    Args:
        settings: where to listen, and how long to wait at the end.
        clock: for the time of entry and tokens.
        registry: where metrics go.
        verifier: tells who calls; None only if all methods are public.
        revoked: whether the device of this id is revoked: what a device calls with its certificate and proof is then
            refused with DEVICE_REVOKED. None: no method is for devices, or the service checks it with each call itself.
        errors: the service's exceptions and what they look like on the wire.
        access: for each full method name ("/package.Service/Method") who may call it; nothing is served without.
        unary_timeout: the longest a call with one answer may take, unless its policy says otherwise.
    """

    def __init__(
        self,
        *,
        settings: ServiceSettings,
        clock: Clock,
        registry: CollectorRegistry,
        verifier: TokenVerifier | None,
        errors: ErrorTable,
        access: Mapping[str, Access | MethodPolicy],
        revoked: Callable[[str], bool] | None = None,
        unary_timeout: timedelta = UNARY_TIMEOUT,
    ) -> None:
        self._settings = settings
        self._policies = {
            method: policy if isinstance(policy, MethodPolicy) else MethodPolicy(policy)
            for method, policy in access.items()
        }
        self._watches = deadline.Watches()
        self._layers = Layers(
            clock=clock,
            metrics=GrpcServerMetrics(registry),
            mapper=ErrorMapper(errors, lambda error: is_unavailable(error) or is_contended(error)),
            verifier=verifier,
            revoked=revoked,
            validator=Validator(),
            watches=self._watches,
            limits=deadline.Limits(),
            unary_timeout=unary_timeout.total_seconds(),
        )
        self._services: dict[str, dict[str, Handler]] = {}
        self._servers: list[grpc.aio.Server] = []
        self._health_task: asyncio.Task[None] | None = None
        self.health = HealthRegistry(registry)
        self.addresses: tuple[str, ...] = ()

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
        """Registers a service by its generated function.

        Raises:
            ValueError: a method has no access entry, is served already, or its handler is no coroutine function or
                async generator.
        """
        recorder = _Recorder()
        add_to_server(servicer, recorder)
        for service, handlers in recorder.services.items():
            if service in self._services:
                raise ValueError(f"{service} is served already")
            missing = [name for name in handlers if f"/{service}/{name}" not in self._policies]
            if missing:
                raise ValueError(f"no access entry for {', '.join(f'/{service}/{name}' for name in missing)}")
            self._services[service] = handlers
            self.health.add_service(service)

    async def start(self) -> None:
        """Binds the addresses and serves; `addresses` then has the ports that were taken.

        Raises:
            ValueError: an access entry names a method that nothing serves.
            OSError: an address cannot be bound.
        """
        served = {f"/{service}/{name}" for service, handlers in self._services.items() for name in handlers}
        unknown = sorted(set(self._policies) - served)
        if unknown:
            raise ValueError(f"access entries for methods that nothing serves: {', '.join(unknown)}")
        await self.health.refresh()
        edge = self._settings.edge_listen
        try:
            direct = await self._serve(self._settings.grpc_listen, over_edge=False)
            self.addresses = (*direct, *(await self._serve((edge,), over_edge=True) if edge else ()))
        except BaseException:
            await asyncio.gather(*(server.stop(None) for server in self._servers))
            self._servers.clear()
            raise
        self._health_task = asyncio.create_task(self.health.run(), name="health")
        logger.info("serving", extra={"addresses": self.addresses, "services": sorted(self._services)})

    async def stop(self) -> None:
        """NOT_SERVING, wait until the edge has seen it, end watches, let calls in flight finish, close. Idempotent."""
        if not self._servers:
            return
        await self.health.stop_serving()
        logger.info("draining", extra={"seconds": self._settings.drain_wait_seconds})
        await asyncio.sleep(self._settings.drain_wait_seconds)
        watches = self._watches.end()
        logger.info("stopping", extra={"grace_seconds": self._settings.grace_seconds, "watches": watches})
        await asyncio.gather(*(server.stop(self._settings.grace_seconds) for server in self._servers))
        self._servers.clear()
        if self._health_task is not None:
            self._health_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._health_task

    async def _serve(self, addresses: Iterable[str], *, over_edge: bool) -> list[str]:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        for service, handlers in (self._services | self._built_in()).items():
            wrapped = {
                name: self._wrap(f"/{service}/{name}", handler, over_edge=over_edge)
                for name, handler in handlers.items()
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))
            server.add_registered_method_handlers(service, wrapped)
        self._servers.append(server)
        bound = [_bind(server, address) for address in addresses]
        await server.start()
        return bound

    def _wrap(self, method: str, handler: Handler, *, over_edge: bool) -> Handler:
        policy = self._policies.get(method, _BUILT_IN_POLICY)
        return self._layers.around(handler, method=method, policy=policy, over_edge=over_edge)

    def _built_in(self) -> dict[str, dict[str, Handler]]:
        recorder: Any = _Recorder()
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, recorder)
        names = (*self._services, HEALTH_NAME, reflection.SERVICE_NAME)
        servicer = reflection.aio.ReflectionServicer(names, MethodFindingPool())
        add_reflection: Callable[..., None] = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        add_reflection(servicer, recorder)
        services: dict[str, dict[str, Handler]] = recorder.services
        return services


def _bind(server: grpc.aio.Server, address: str) -> str:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from error
    if address.startswith("unix:"):
        # Its directory says who may enter; the socket itself is for this user and group, not for the world.
        Path(address.removeprefix("unix:")).chmod(0o660)
        return address
    return f"{address.rpartition(':')[0]}:{port}"
