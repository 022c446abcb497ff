"""The layer that bounds a call's time: by the caller's deadline, by the method's limit, and by the server's own end.

Owner: chassis.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from chassis.errors import DeadlineExceededError, DeadlineTooShortError, StoppingError
from chassis.interceptors.call import Context, StreamCall, UnaryCall


class Watches:
    """The calls that would never end by themselves, so that a stopping server can end them in order."""

    def __init__(self) -> None:
        self.stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self) -> asyncio.Task[Any]:
        """Notes the current task as such a call.

        Raises:
            StoppingError: the server ends them already.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is a task")
        if self.stopping:
            raise StoppingError
        self._tasks.add(task)
        return task

    def discard(self, task: asyncio.Task[Any]) -> None:
        """Forgets a call that ended."""
        self._tasks.discard(task)

    def end(self) -> int:
        """Ends all of them with "come back, to another replica"; how many there were."""
        self.stopping = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)


def _check_remaining(context: Context) -> float | None:
    # None when the caller has no deadline, whatever gRPC's annotations say.
    remaining: float | None = context.time_remaining()
    if remaining is not None and remaining <= 0:
        raise DeadlineTooShortError
    return remaining


def unary(inner: UnaryCall, *, limit: float) -> UnaryCall:
    """Bounds calls with one answer to `limit` seconds, or to the caller's deadline if that is sooner."""

    async def bounded(request: Any, context: Context) -> Any:
        timeout = asyncio.timeout(limit)
        try:
            async with timeout:
                return await inner(request, context)
        except TimeoutError as error:
            if timeout.expired():
                raise DeadlineExceededError from error
            raise

    def call(request: Any, context: Context) -> Any:
        remaining = _check_remaining(context)
        # gRPC itself cancels the handler at the caller's deadline; a second timer would only cost.
        sooner = remaining is not None and remaining <= limit
        return inner(request, context) if sooner else bounded(request, context)

    return call


def stream(inner: StreamCall, *, watches: Watches | None) -> StreamCall:
    """Refuses calls whose deadline is over; a watch is also ended when the server stops."""

    def call(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        _check_remaining(context)
        return inner(request, context)

    async def watch(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        if watches is None:
            raise RuntimeError("a watch is noted somewhere")
        _check_remaining(context)
        task = watches.add()
        try:
            async with aclosing(inner(request, context)) as responses:
                async for response in responses:
                    yield response
        except asyncio.CancelledError:
            # The caller may have gone at the same moment: then more than our cancellation is pending.
            if watches.stopping and task.uncancel() == 0:
                raise StoppingError from None
            raise
        finally:
            watches.discard(task)

    return call if watches is None else watch
