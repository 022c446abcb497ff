"""Puts the layers around one method's handler, once, when its service is registered.

Owner: chassis. The order is: metrics, errors, authentication, deadline, validation, handler. Metrics is outermost, so
that refusals are counted; errors comes next, so that every layer below may simply raise.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeAlias

import grpc
from protovalidate import Validator

from chassis.clock import Clock
from chassis.errors import ErrorMapper, NotYetAvailable
from chassis.interceptors import auth, deadline, errors, metrics, validation
from chassis.interceptors.auth import Access, MethodPolicy
from chassis.interceptors.unary import unary
from chassis.metrics import GrpcServerMetrics
from chassis.tokens import TokenVerifier

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What the layers need, the same for all methods of a server.

    Attributes:
        clock, metrics, mapper, verifier, revoked, validator: see the layers.
        watches: where calls without an end are noted.
        limits: where calls with a time limit are noted.
        unary_timeout: seconds a call with one answer may take, unless its policy says otherwise.
    """

    clock: Clock
    metrics: GrpcServerMetrics
    mapper: ErrorMapper
    verifier: TokenVerifier | None
    revoked: auth.Revoked | None
    validator: Validator
    watches: deadline.Watches
    limits: deadline.Limits
    unary_timeout: float

    def around(self, handler: Handler, *, method: str, policy: MethodPolicy, over_edge: bool) -> Handler:
        """The handler with all layers around it.

        Raises:
            ValueError: the handler is neither a coroutine function nor an async generator function, or a message's
                rules do not compile.
        """
        behaviour, access = _behaviour(handler), policy.access
        deserialize, serialize = handler.request_deserializer, handler.response_serializer
        if deserialize is None or serialize is None:
            raise ValueError(f"{method} takes or gives bytes, not messages")
        parse_valid: Callable[[bytes], Any] = validation.parser(deserialize, self.validator)
        if behaviour is _later:
            # It tells everybody the same, whatever they send and whoever they are.
            parse_valid, access = _unread, Access.public()
        gate = auth.gate_for(access, verifier=self.verifier, method=method, revoked=self.revoked)
        if inspect.isasyncgenfunction(behaviour):
            inner = validation.stream(
                behaviour,
                parse_valid=parse_valid,
                serialize=serialize,
                request_streaming=handler.request_streaming,
            )
            inner = deadline.stream(inner, watches=self.watches if policy.watch else None)
            inner = auth.stream(inner, gate=gate)
            inner = errors.stream(inner, mapper=self.mapper, method=method)
            stats = self.metrics.method(method)
            outer = metrics.stream(inner, stats=stats, clock=self.clock, over_edge=over_edge)
            return _handler(handler, outer, serializer=None)
        if not inspect.iscoroutinefunction(behaviour):
            raise ValueError(
                f"{method} is served by neither a coroutine function nor an async generator function"
            )
        # A coroutine that answers with a stream writes by itself, through gRPC's serializer, and takes its time.
        writes = handler.response_streaming
        limit = self.unary_timeout if policy.timeout is None else policy.timeout.total_seconds()
        call = unary(
            deadline.watched(behaviour, watches=self.watches) if writes and policy.watch else behaviour,
            parse=partial(validation.requests, parse_valid) if handler.request_streaming else parse_valid,
            serialize=None if writes else serialize,
            gate=gate,
            limit=None if writes else limit,
            limits=self.limits,
            mapper=self.mapper,
            stats=self.metrics.method(method),
            clock=self.clock,
            method=method,
            over_edge=over_edge,
        )
        return _handler(handler, call, serializer=serialize if writes else None)


_KINDS: dict[tuple[bool, bool], tuple[str, Callable[..., Handler]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def _behaviour(handler: Handler) -> Callable[..., Any]:
    name, _ = _KINDS[handler.request_streaming, handler.response_streaming]
    behaviour: Callable[..., Any] = getattr(handler, name)
    # What a servicer leaves out is the generated base class's own method, and that raises outside any coroutine.
    left_out = behaviour.__module__.endswith("_pb2_grpc")
    return _later if left_out or getattr(behaviour, "__func__", None) is not_yet_available else behaviour


async def _not_yet_available(_servicer: object, _request: object, _context: object) -> NoReturn:
    raise NotYetAvailable


# Stands, in a servicer's class, for a method that is not offered yet, whatever its messages are: hence the wide type.
not_yet_available: Any = _not_yet_available


async def _later(_request: object, _context: object) -> NoReturn:
    raise NotYetAvailable


def _unread(data: bytes) -> bytes:
    return data


def _handler(handler: Handler, behaviour: Callable[..., Any], *, serializer: Any) -> Handler:
    _, make = _KINDS[handler.request_streaming, handler.response_streaming]
    return make(behaviour, request_deserializer=None, response_serializer=serializer)
