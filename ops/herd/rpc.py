"""gRPC through the edge: channels, and calls that come back when told to. Owner: herd."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import grpc

from ops.herd.errors import HerdError
from ops.herd.retry import Answer, Refused
from ops.herd.target import StackTarget
from ops.herd.tls import server_name
from ops.herd.wire import answer_of_rpc_error

T = TypeVar("T")
Request = TypeVar("Request")
Response = TypeVar("Response")

# The herd counts its own tries, so the library must make none.
_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # Each channel a connection of its own: by default equal channels share one.
    ("grpc.use_local_subchannel_pool", 1),
)

CONCURRENCY = 48
"""Calls under way before the clock starts: enough to keep two cores busy, few enough that none waits long."""

_TRIES = 8
_LONGEST_WAIT = 10.0


def open_channel(target: StackTarget) -> grpc.aio.Channel:
    """A channel of its own to the edge, with TLS where the edge has it."""
    address = f"{target.host}:{target.port}"
    if not target.tls:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    roots = target.tls_ca.read_bytes() if target.tls_ca is not None else None
    options = (*_OPTIONS, ("grpc.ssl_target_name_override", server_name(target)))
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots), options=options)


def staff(target: StackTarget) -> tuple[tuple[str, str], ...]:
    """What a call in the agency's name carries."""
    return (("authorization", f"Bearer {target.staff_token}"),)


async def call(
    method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
    request: Request,
    *,
    what: str,
    metadata: tuple[tuple[str, str], ...] = (),
    timeout: float = 30.0,
) -> Response:
    """Calls `method`, and again as RetryInfo asks or with back-off, a bounded number of times.

    Only for calls that are safe to repeat.

    Args:
        method: of a stub.
        request: its message.
        what: the RPC's name, for the error.
        metadata: credentials.
        timeout: seconds a try may take.

    Raises:
        HerdError: it was refused for good, or failed too often.
    """
    chance = random.Random()  # noqa: S311 - back-off
    for attempt in range(1, _TRIES + 1):
        try:
            return await method(request, metadata=metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            answer = answer_of_rpc_error(error.code(), error.trailing_metadata() or ())
            if attempt == _TRIES or (isinstance(answer, Refused) and answer.retry_after is None):
                raise _refused(what, error, answer) from error
            if isinstance(answer, Refused) and answer.retry_after is not None:
                delay = min(_LONGEST_WAIT, max(0.0, answer.retry_after))
            else:
                delay = chance.uniform(0.0, min(_LONGEST_WAIT, 0.2 * 2**attempt))
        await asyncio.sleep(delay)
    raise AssertionError("the last try returns or raises")


async def for_each(work: Callable[[int, T], Awaitable[None]], items: Sequence[T]) -> None:
    """Awaits `work(number, item)` for each item, `CONCURRENCY` at a time; the first error ends all.

    Raises:
        HerdError: as `work` raised it.
    """
    rest = iter(enumerate(items))

    async def worker() -> None:
        for number, item in rest:
            await work(number, item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(CONCURRENCY, len(items))):
                group.create_task(worker())
    except* HerdError as errors:
        raise next(_leaves(errors)) from None


def _leaves(group: BaseExceptionGroup[HerdError]) -> Iterator[HerdError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _refused(what: str, error: grpc.aio.AioRpcError, answer: Answer) -> HerdError:
    reason = answer.reason if isinstance(answer, Refused) else error.code().name
    return HerdError(
        f"{what} gagal: {reason} ({error.details()}).", f"{what} failed: {reason} ({error.details()})."
    )
