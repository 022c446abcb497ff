"""Ending background tasks, also stubborn ones."""

import asyncio
import contextlib

import pytest

from chassis.tasks import end, together


async def stubborn(ended: list[str]) -> None:
    for _ in range(3):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    ended.append("stubborn")
    await asyncio.sleep(60)


async def test_a_task_that_swallows_cancellations_ends_all_the_same() -> None:
    ended: list[str] = []
    task = asyncio.create_task(stubborn(ended))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end([task])
        await end([task])
    assert task.cancelled()
    assert ended == ["stubborn"]


async def test_cancelling_all_together_ends_each() -> None:
    ended: list[str] = []
    both = asyncio.create_task(together(stubborn(ended), stubborn(ended)))
    await asyncio.sleep(0.01)
    both.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await both
    assert ended == ["stubborn", "stubborn"]


async def test_the_first_error_ends_the_others_and_is_raised() -> None:
    ended: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await together(stubborn(ended), fails())
    assert ended == ["stubborn"]


async def test_returning_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="for ever"):
        await together(asyncio.sleep(0))
