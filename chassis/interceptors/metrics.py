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
from chassis.metrics import MethodStats


def _code_of(error: BaseException, context: Context) -> str:
    if isinstance(error, asyncio.CancelledError):
        # gRPC cancels the handler both when the caller goes away and when the caller's deadline is over.
        return "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED"
    if isinstance(error, GeneratorExit):
        return "CANCELLED"
    if isinstance(error, grpc.aio.AbortError):
        return _set_code(context)
    return "UNKNOWN"


def _set_code(context: Context) -> str:
    # None until somebody sets one, whatever gRPC's annotations say.
    code: grpc.StatusCode | None = context.code()
    return "OK" if code is None else code.name


def unary(inner: UnaryCall, *, stats: MethodStats, clock: Clock, over_edge: bool) -> UnaryCall:
    """Counts calls with one answer."""
    now, timer, begin, end = clock.now, time.perf_counter, stats.begin, stats.end

    async def call(request: Any, context: Context) -> Any:
        CALL.set(Call(now(), over_edge))
        started = timer()
        begin()
        try:
            response = await inner(request, context)
        except BaseException as error:
            end(_code_of(error, context), timer() - started)
            raise
        end(_set_code(context), timer() - started)
        return response

    return call


def stream(inner: StreamCall, *, stats: MethodStats, clock: Clock, over_edge: bool) -> StreamCall:
    """Counts calls with a stream of answers; they last as long as their stream."""

    async def call(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        CALL.set(Call(clock.now(), over_edge))
        started = time.perf_counter()
        stats.begin()
        try:
            async with aclosing(inner(request, context)) as responses:
                async for response in responses:
                    yield response
        except BaseException as error:
            stats.end(_code_of(error, context), time.perf_counter() - started)
            raise
        stats.end(_set_code(context), time.perf_counter() - started)

    return call
