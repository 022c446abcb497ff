"""A process from its start to its end: background tasks that are never silently dead, and stops in reverse order.

Owner: chassis. A service's composition root opens an `Application`, starts its parts in order and says how each is
stopped; the stops run last in, first out. With the parts in their natural order (pool, NATS, flusher, server) that is:
server out of rotation and drained, flush, drain NATS, close the pool.
"""

import asyncio
import contextlib
import gc
import inspect
import logging
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import uvloop
from prometheus_client import CollectorRegistry

from chassis.metrics import TaskMetrics

logger = logging.getLogger(__name__)

Stop = Callable[[], Awaitable[None] | None]

# A crashed task is tried again soon, and ever less often up to a minute; one that ran for a while starts over.
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 60.0
BACKOFF_FORGET_SECONDS = 120.0
# Longer than the server's own waiting (drain wait and grace), shorter than an orchestrator's patience in total.
STOP_TIMEOUT_SECONDS = 30.0
# By then a service has imported and loaded what it will keep.
FREEZE_AFTER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Stopper:
    name: str
    stop: Stop
    timeout: float


class Application:
    """What runs in this process. An async context manager: leaving it stops everything, also after a failed start.

    Args:
        registry: where the tasks' metrics go.
        backoff_first, backoff_most: seconds before a crashed task is started again, doubling, with jitter.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        backoff_first: float = BACKOFF_FIRST_SECONDS,
        backoff_most: float = BACKOFF_MOST_SECONDS,
    ) -> None:
        self._metrics = TaskMetrics(registry)
        self._backoff_first = backoff_first
        self._backoff_most = backoff_most
        self._stoppers: list[_Stopper] = []
        self._stop_asked = asyncio.Event()
        self._signals: list[signal.Signals] = []

    def on_stop(self, name: str, stop: Stop, *, timeout: float = STOP_TIMEOUT_SECONDS) -> None:
        """Says how a part is stopped; parts stop in reverse order of these calls.

        Args:
            name: for the log.
            stop: called once; what it raises is logged and keeps no other part from being stopped.
            timeout: seconds after which the stop is given up.
        """
        self._stoppers.append(_Stopper(name, stop, timeout))

    def supervise(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Runs a background task until its turn to stop comes, then cancels it.

        A task that raises, or returns though nobody asked it to, is logged, counted (hadir_task_crashes_total) and
        started again after a bounded, growing pause.
        """
        task = asyncio.create_task(self._keep_running(name, run), name=name)

        async def stop() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self.on_stop(name, stop)
        return task

    def stop(self, reason: str = "asked to stop") -> None:
        """Asks for the end; `run_until_stopped` returns. Idempotent."""
        if not self._stop_asked.is_set():
            logger.info("stop asked for", extra={"reason": reason})
            self._stop_asked.set()

    async def run_until_stopped(self) -> None:
        """Waits for SIGTERM, SIGINT or `stop`."""
        await self._stop_asked.wait()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number.name)
            self._signals.append(number)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._stoppers:
            await self._stop_one(self._stoppers.pop())
        loop = asyncio.get_running_loop()
        for number in self._signals:
            loop.remove_signal_handler(number)

    async def _stop_one(self, stopper: _Stopper) -> None:
        extra = {"part": stopper.name}
        logger.debug("stopping a part", extra=extra)
        try:
            async with asyncio.timeout(stopper.timeout):
                result = stopper.stop()
                if inspect.isawaitable(result):
                    await result
        except TimeoutError:
            logger.exception("a part did not stop in time", extra=extra | {"seconds": stopper.timeout})
        except Exception:
            logger.exception("a part failed to stop", extra=extra)

    async def _keep_running(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = asyncio.get_running_loop()
        running = self._metrics.running.labels(name)
        crashes = self._metrics.crashes.labels(name)
        pause = self._backoff_first
        while True:
            started = loop.time()
            running.set(1)
            try:
                await run()
                logger.error("a background task ended by itself", extra={"task": name})
            except Exception:
                logger.exception("a background task crashed", extra={"task": name})
            finally:
                running.set(0)
            crashes.inc()
            if loop.time() - started > BACKOFF_FORGET_SECONDS:
                pause = self._backoff_first
            await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - spreading, not secrecy
            pause = min(pause * 2, self._backoff_most)


def main(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The entry point of a service: runs its coroutine on a uvloop of its own, and returns when it ends.

    Why uvloop, and why what is there after the start is frozen: docs/decisions/0034-event-loop.md.
    """
    uvloop.run(_run(run))


async def _run(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.get_running_loop().call_later(FREEZE_AFTER_SECONDS, gc.freeze)
    await run()
