"""The way to the database: bounded, and safe from callers who hang up. Owner: auth.

A gRPC call that is cancelled cancels its handler; a handler that held a connection then leaks it (sqlalchemy #8145,
#12077). Here work runs in a task of its own, which a caller's leaving does not touch.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.auth.domain.errors import OverloadedError

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]


class CallerGoneError(Exception):
    """The caller left before the commit of work that is worth nothing without them; it was taken back."""


class Transactions:
    """Runs work on connections.

    Args:
        engine: its pool is not used by others, but for the outbox's relay and health checks.
        concurrent: so many pieces of work at once; below the pool's size, so that nothing waits inside the pool.
        most_waiting: so many callers may wait for their turn; more are refused.
        come_back: when a refused caller should try again; a different time for each.
        committed: called after each commit; wakes the outbox's relay.
    """

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        concurrent: int,
        most_waiting: int,
        come_back: Callable[[], timedelta],
        committed: Callable[[], None],
    ) -> None:
        self._engine = engine
        # One statement is its own transaction: no BEGIN and no COMMIT to wait for.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turns = asyncio.Semaphore(concurrent)
        self._most_waiting = most_waiting
        self._waiting = 0
        self._come_back = come_back
        self._committed = committed
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def waiting(self) -> int:
        """Callers who wait for their turn now."""
        return self._waiting

    async def single(self, work: Work[T]) -> T:
        """Run work whose every statement stands alone."""

        async def run(_: asyncio.Event) -> T:
            async with self._single.connect() as connection:
                return await work(connection)

        return await self._run(run)

    async def together(self, work: Work[T], *, only_for_caller: bool = False) -> T:
        """Run work as one transaction.

        Args:
            work: what to do; an exception takes everything back.
            only_for_caller: take it back too when the caller is gone before the commit.

        Raises:
            OverloadedError: too many wait already; nothing was done.
        """

        async def run(gone: asyncio.Event) -> T:
            async with self._engine.begin() as connection:
                result = await work(connection)
                if only_for_caller and gone.is_set():
                    raise CallerGoneError
            self._committed()
            return result

        return await self._run(run)

    async def drain(self) -> None:
        """Wait for what was begun; every statement has its own time limit."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self, run: Callable[[asyncio.Event], Awaitable[T]]) -> T:
        if self._waiting >= self._most_waiting:
            raise OverloadedError(self._come_back())
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        gone = asyncio.Event()

        async def whole() -> T:
            try:
                return await run(gone)
            finally:
                self._turns.release()

        task = asyncio.create_task(whole())
        self._running.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            gone.set()
            raise

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Seen here, so that the failure of work whose caller left is not reported as never looked at.
            task.exception()
