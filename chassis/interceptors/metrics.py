"""The outermost layer: notes when the call came, counts it, and measures how long it took.

Owner: chassis.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from chassis.clock import Clock
from chassis.interceptors.call import CALL, Call, Context, StreamCall, UnaryCall
from chassis.metrics import GrpcServerMetrics


class _MethodMetrics:
    """The metrics of one method, found once: a label look-up per call costs more than the counting."""

    def __init__(self, metrics: GrpcServerMetrics, method: str) -> None:
        self._handled = metrics.handled
        self._method = method
        self._seconds = metrics.seconds.labels(method)
        self.in_flight = metrics.in_flight.labels(method)
        self._ok = self._handled.labels(method, "OK")

    def done(self, code: grpc.StatusCode | None, seconds: float) -> None:
        if code is None or code is grpc.StatusCode.OK:
            self._ok.inc()
        else:
            self._handled.labels(self._method, code.name).inc()
        self._seconds.observe(seconds)
        self.in_flight.dec()


def _code_of(error: BaseException, context: Context) -> grpc.StatusCode | None:
    if isinstance(error, asyncio.CancelledError):
        # gRPC cancels the handler both when the caller goes away and when the caller's deadline is over.
        expired = context.time_remaining() == 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
    if isinstance(error, GeneratorExit):
        return grpc.StatusCode.CANCELLED
    if isinstance(error, grpc.aio.AbortError):
        return context.code()
    return grpc.StatusCode.UNKNOWN


def unary(
    inner: UnaryCall, *, metrics: GrpcServerMetrics, method: str, clock: Clock, over_edge: bool
) -> UnaryCall:
    """Counts calls with one answer."""
    mine = _MethodMetrics(metrics, method)
    now = clock.now

    async def call(request: Any, context: Context) -> Any:
        CALL.set(Call(now(), over_edge))
        started = time.perf_counter()
        mine.in_flight.inc()
        code = None
        try:
            response = await inner(request, context)
            code = context.code()
        except BaseException as error:
            code = _code_of(error, context)
            raise
        finally:
            mine.done(code, time.perf_counter() - started)
        return response

    return call


def stream(
    inner: StreamCall, *, metrics: GrpcServerMetrics, method: str, clock: Clock, over_edge: bool
) -> StreamCall:
    """Counts calls with a stream of answers; they last as long as their stream."""
    mine = _MethodMetrics(metrics, method)

    async def call(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        CALL.set(Call(clock.now(), over_edge))
        started = time.perf_counter()
        mine.in_flight.inc()
        code = None
        try:
            async with aclosing(inner(request, context)) as responses:
                async for response in responses:
                    yield response
            code = context.code()
        except BaseException as error:
            code = _code_of(error, context)
            raise
        finally:
            mine.done(code, time.perf_counter() - started)

    return call
