"""The layer that bounds a call's time: by the caller's deadline, by the method's limit, and by the server's own end.

Owner: chassis.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from chassis.errors import DeadlineExceededError, DeadlineTooShortError, StoppingError
from chassis.interceptors.call import Context, StreamCall, UnaryCall

# How exactly a method's limit is kept. Limits are tens of seconds and guard against calls that hang.
SWEEP_SECONDS = 0.25


class Watches:
    """The calls that would never end by themselves, so that a stopping server can end them in order."""

    def __init__(self) -> None:
        self._stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def stopping(self) -> bool:
        """Whether the server ends them already."""
        return self._stopping

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Notes the current task as such a call for the time of the block.

        Raises:
            StoppingError: the server ends them already, or ended this one.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is a task")
        if self.stopping():
            raise StoppingError
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            # The caller may have gone at the same moment: then more than our cancellation is pending.
            if self.stopping() and task.uncancel() == 0:
                raise StoppingError from None
            raise
        finally:
            self._tasks.discard(task)

    def end(self) -> int:
        """Ends all of them with "come back, to another replica"; how many there were."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)


class Limits:
    """Calls in flight with the time each may take at most, looked through now and then.

    One timer for all of them: asyncio.timeout costs a call five microseconds, this a tenth of that. The price is that
    a limit is kept to SWEEP_SECONDS only.
    """

    def __init__(self) -> None:
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._expired: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit: float) -> asyncio.Task[Any]:
        """Notes the current task: it is cancelled when `limit` seconds are over. To be ended by `end` or `verdict`."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is a task")
        loop = task.get_loop()
        self._ends[task] = loop.time() + limit
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        """Forgets a task that has its answer."""
        self._ends.pop(task, None)
        if task in self._expired:
            self._expired.discard(task)
            task.uncancel()

    def verdict(self, task: asyncio.Task[Any], error: BaseException) -> BaseException:
        """Forgets a task that failed; what it failed of: of its time, if it was cancelled for that."""
        self._ends.pop(task, None)
        if task not in self._expired:
            return error
        self._expired.discard(task)
        # The caller may have gone at the same moment: then more than our cancellation is pending.
        ours = task.uncancel() == 0 and isinstance(error, asyncio.CancelledError)
        return DeadlineExceededError() if ours else error

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task in [task for task, end in self._ends.items() if end <= now]:
            del self._ends[task]
            self._expired.add(task)
            task.cancel()
        self._timer = loop.call_later(SWEEP_SECONDS, self._sweep, loop) if self._ends else None


def stream(inner: StreamCall, *, watches: Watches | None) -> StreamCall:
    """Refuses calls whose deadline is over; with `watches`, the call is also ended when the server stops."""

    def call(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        if context.time_remaining() == 0:
            raise DeadlineTooShortError
        return inner(request, context)

    if watches is None:
        return call

    async def watch(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        with watches.noted():
            async with aclosing(call(request, context)) as responses:
                async for response in responses:
                    yield response

    return watch


def watched(handler: UnaryCall, *, watches: Watches) -> UnaryCall:
    """A coroutine that writes its stream of answers itself, ended when the server stops."""

    async def watch(request: Any, context: Context) -> Any:
        with watches.noted():
            return await handler(request, context)

    return watch
