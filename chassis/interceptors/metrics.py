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
from chassis.interceptors.call import CALL, Call, Context, StreamCall
from chassis.metrics import MethodStats


def code_of(error: BaseException, context: Context) -> str:
    """The name of the status code a call ended with when it ended by an exception."""
    if isinstance(error, asyncio.CancelledError):
        # gRPC cancels the handler both when the caller goes away and when the caller's deadline is over.
        return "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED"
    if isinstance(error, GeneratorExit):
        return "CANCELLED"
    if isinstance(error, grpc.aio.AbortError):
        return set_code(context)
    return "UNKNOWN"


def set_code(context: Context) -> str:
    """The name of the status code that was set on the call; OK unless somebody did."""
    # None until somebody sets one, whatever gRPC's annotations say.
    code: grpc.StatusCode | None = context.code()
    return "OK" if code is None else code.name


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
            stats.end(code_of(error, context), time.perf_counter() - started)
            raise
        stats.end(set_code(context), time.perf_counter() - started)

    return call
