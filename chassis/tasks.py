"""Background tasks that end when they are told to, also when a library on the way swallows the cancellation.

Owner: the chassis. Python 3.11's `asyncio.wait_for` returns instead of being cancelled when its answer comes in the
same turn of the loop (fixed in 3.12), and nats-py passes over a cancellation while it flushes; a task that loops around
either would go on for ever, and a shutdown with it.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.1


async def end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel `tasks` until each has ended. Its errors stay in the task; a second call changes nothing."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_SECONDS)


async def together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until cancelled, or until the first fails; then end the others.

    Raises:
        Exception: what the first one raised.
        RuntimeError: one returned, though it was to run for ever.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks)
    for task in done:
        task.result()
    raise RuntimeError("a task that runs for ever has returned")
