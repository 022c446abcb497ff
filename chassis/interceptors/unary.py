"""All layers around a handler with one answer, in one coroutine.

Owner: chassis. It says the same as a coroutine per layer would, in the same order, and a call pays for one frame
instead of five: docs/decisions/0030-grpc-layers.md has the measurement. Streams have a coroutine per layer.
"""

import asyncio
import time
from typing import Any, NoReturn

from chassis.clock import Clock
from chassis.errors import DeadlineTooShortError, ErrorMapper
from chassis.interceptors.auth import Gate
from chassis.interceptors.call import CALL, Call, Context, UnaryCall
from chassis.interceptors.deadline import Limits
from chassis.interceptors.errors import refuse
from chassis.interceptors.metrics import code_of, set_code
from chassis.interceptors.validation import Serialize
from chassis.metrics import MethodStats


def unary(
    handler: UnaryCall,
    *,
    parse: Any,
    serialize: Serialize | None,
    gate: Gate | None,
    limit: float | None,
    limits: Limits,
    mapper: ErrorMapper,
    stats: MethodStats,
    clock: Clock,
    method: str,
    over_edge: bool,
) -> UnaryCall:
    """The handler with metrics, errors, authentication, deadline and validation around it, in this order.

    Args:
        handler: takes a valid message (or an iterator of them) and returns a message.
        parse: from what gRPC gives to what the handler takes; raises what the errors' table knows.
        serialize: from the answer to bytes; None when the handler writes its answers itself and returns nothing.
        gate: who may call; None: anyone.
        limit: seconds the call may take; None: as long as the caller waits.
        limits: where calls with a limit are noted.
        mapper: from exceptions to statuses.
        stats: the method's counts.
        clock: for the time of entry.
        method: the full name, for logs.
        over_edge: whether the call came over the listener that only the edge reaches.
    """
    now, timer, begin, end = clock.now, time.perf_counter, stats.begin, stats.end

    async def fail(
        error: BaseException, context: Context, task: asyncio.Task[Any] | None, started: float
    ) -> NoReturn:
        try:
            await refuse(error if task is None else limits.verdict(task, error), context, mapper, method)
        except BaseException as final:
            end(code_of(final, context), timer() - started)
            raise

    async def call(request: Any, context: Context) -> Any:
        mine = Call(now(), over_edge)
        CALL.set(mine)
        started = timer()
        begin()
        task = None
        try:
            if gate is not None:
                mine.principal = gate.admit(context) or await gate.admit_after_refresh(context)
            # None when the caller has no deadline. gRPC itself cancels the handler when one is over, so a limit is
            # noted only if it is the sooner one.
            remaining: float | None = context.time_remaining()
            if remaining is not None and remaining <= 0:
                raise DeadlineTooShortError  # noqa: TRY301 - refused like everything else
            if limit is not None and (remaining is None or remaining > limit):
                task = limits.begin(limit)
            response = await handler(parse(request), context)
            data = response if serialize is None else serialize(response)
        except BaseException as error:  # noqa: BLE001 - `fail` always raises
            await fail(error, context, task, started)
        if task is not None:
            limits.end(task)
        end(set_code(context), timer() - started)
        return data

    return call
