"""Reads that hold up no tap: few at once, and safe from callers who hang up.

A cancelled call cancels its handler, and a handler that held a connection then leaks it (sqlalchemy #8145, #12077): so
a read runs in a task of its own. Its turns leave the rest of the pool to the flusher, the relay and the consumer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.checkin.domain.errors import OverloadedError

T = TypeVar("T")


class Reader:
    """Runs reads on connections of their own.

    Args:
        engine: shared with the flusher.
        concurrent: reads at once; the pool has this many connections beside those of taps, relay and consumer.
        most_waiting: callers that may wait for a turn; more are refused.
        come_back: when a refused caller should try again; a different time for each.
    """

    def __init__(
        self, engine: AsyncEngine, *, concurrent: int, most_waiting: int, come_back: Callable[[], timedelta]
    ) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(concurrent)
        self._most_waiting = most_waiting
        self._come_back = come_back
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, read: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """The result of a read. Raises OverloadedError when too many wait already."""
        if len(self._running) >= self._most_waiting:
            raise OverloadedError(self._come_back())
        task = asyncio.get_running_loop().create_task(self._run(read))
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Looked at here too: its caller may be gone.
            task.exception()

    async def _run(self, read: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._turns, self._engine.connect() as connection:
            return await read(connection)
