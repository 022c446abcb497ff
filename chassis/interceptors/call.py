"""What the layers know about the call in hand, and what a handler may ask about it.

Owner: chassis. gRPC's own context object takes no attributes, so this travels in a context variable: each call is a
task with a context of its own.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import grpc

from chassis.clock import Clock
from chassis.tokens import ANONYMOUS, Principal

ARRIVAL_KEY = "x-hadir-arrival"

# The edge's request timeout: a stamp older than that is not of a request it still waits for.
ARRIVAL_MAX_AGE = timedelta(seconds=10)
# Edge and service share a machine or have clocks within 250 ms of each other (the alert's limit).
ARRIVAL_MAX_AHEAD = timedelta(milliseconds=250)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# Requests and responses are bytes between the layers: parsing is the innermost one's business.
UnaryCall = Callable[[Any, Context], Awaitable[Any]]
StreamCall = Callable[[Any, Context], AsyncGenerator[Any, None]]


@dataclass(slots=True)
class Call:
    """One call: when its handler was entered (aware, UTC), by which listener it came, and who makes it."""

    entered: datetime
    over_edge: bool
    principal: Principal = ANONYMOUS


CALL: ContextVar[Call] = ContextVar("hadir_call")


def principal(context: Context) -> Principal:  # noqa: ARG001 - handlers ask about the call they were given
    """Who makes the call; ANONYMOUS for a public method, whatever credentials came.

    Raises:
        LookupError: outside a call that GrpcServer handles.
    """
    return CALL.get().principal


def entered_at(context: Context) -> datetime:  # noqa: ARG001
    """When the call entered its handler, by the server's clock: on direct gRPC this is the arrival.

    Raises:
        LookupError: outside a call that GrpcServer handles.
    """
    return CALL.get().entered


def arrived_over_edge(context: Context, clock: Clock) -> datetime | None:
    """When the request came to the edge, by the edge's stamp with the clock's offset; None: no stamp to believe.

    Believed only on the listener that the edge alone can reach, and only within ARRIVAL_MAX_AGE before the handler's
    entry. A stamp ahead of the entry by no more than clocks may differ counts as the entry.

    Raises:
        LookupError: outside a call that GrpcServer handles.
    """
    call = CALL.get()
    if not call.over_edge:
        return None
    stamp = _header(context, ARRIVAL_KEY)
    # Microseconds since 1970 by Envoy's %START_TIME(%s%6f)%: sixteen digits until the year 2286.
    if stamp is None or len(stamp) != 16 or not (stamp.isascii() and stamp.isdigit()):
        return None
    arrival = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(stamp)) + clock.offset()
    age = call.entered - arrival
    if age > ARRIVAL_MAX_AGE or age < -ARRIVAL_MAX_AHEAD:
        return None
    return min(arrival, call.entered)


def client_sent_arrival(context: Context) -> bool:
    """Whether a caller past the edge sent an arrival stamp of its own: without effect, and worth a flag.

    Raises:
        LookupError: outside a call that GrpcServer handles.
    """
    return not CALL.get().over_edge and _header(context, ARRIVAL_KEY) is not None


def _header(context: Context, name: str) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else None
    return None
