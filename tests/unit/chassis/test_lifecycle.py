import asyncio
import logging
import os
import signal

import pytest
from prometheus_client import CollectorRegistry

from chassis.lifecycle import Application


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def _application(registry: CollectorRegistry) -> Application:
    return Application(registry=registry, backoff_first=0.001, backoff_most=0.01)


async def test_parts_stop_in_reverse_order(registry: CollectorRegistry) -> None:
    stopped: list[str] = []

    async def stop_server() -> None:
        await asyncio.sleep(0)
        stopped.append("server")

    async with _application(registry) as application:
        application.on_stop("pool", lambda: stopped.append("pool"))
        application.on_stop("nats", lambda: stopped.append("nats"))
        application.on_stop("flusher", lambda: stopped.append("flusher"))
        application.on_stop("server", stop_server)
        application.stop()
        await application.run_until_stopped()
    assert stopped == ["server", "flusher", "nats", "pool"]


async def test_a_part_that_fails_or_hangs_does_not_keep_others_from_stopping(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    stopped: list[str] = []

    def fails() -> None:
        raise RuntimeError("no")

    async with _application(registry) as application:
        application.on_stop("pool", lambda: stopped.append("pool"))
        application.on_stop("fails", fails)
        application.on_stop("hangs", lambda: asyncio.sleep(60), timeout=0.01)
    assert stopped == ["pool"]
    assert [vars(record)["part"] for record in caplog.records if record.levelno >= logging.ERROR] == [
        "hangs",
        "fails",
    ]


async def test_a_failed_start_stops_what_was_started(registry: CollectorRegistry) -> None:
    stopped: list[str] = []

    async def start() -> None:
        async with _application(registry) as application:
            application.on_stop("pool", lambda: stopped.append("pool"))
            raise OSError("address in use")

    with pytest.raises(OSError, match="in use"):
        await start()
    assert stopped == ["pool"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_asks_for_the_end(registry: CollectorRegistry, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    async with _application(registry) as application:
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)
        async with asyncio.timeout(5):
            await application.run_until_stopped()
    assert signal.getsignal(number) in {before, signal.SIG_DFL, signal.default_int_handler}


async def test_a_crashed_task_is_logged_counted_and_started_again(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    runs = 0
    fine = asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("connection lost")
        if runs == 2:
            return
        fine.set()
        await asyncio.Event().wait()

    async with _application(registry) as application:
        task = application.supervise("relay", run)
        async with asyncio.timeout(5):
            await fine.wait()
        assert registry.get_sample_value("hadir_task_running", {"task": "relay"}) == 1
    assert task.cancelled()
    assert registry.get_sample_value("hadir_task_crashes_total", {"task": "relay"}) == 2
    assert registry.get_sample_value("hadir_task_running", {"task": "relay"}) == 0
    assert "connection lost" in caplog.text
    assert "ended by itself" in caplog.text


async def test_the_pause_between_crashes_grows_and_is_bounded(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 10:
            enough.set()
        await sleep(0)

    async def crash() -> None:
        raise RuntimeError

    monkeypatch.setattr("chassis.lifecycle.asyncio.sleep", note)
    application = Application(registry=registry, backoff_first=1, backoff_most=8)
    async with application:
        _ = application.supervise("x", crash)
        await enough.wait()
    monkeypatch.undo()
    assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:4]))
    assert all(4 <= pause <= 8 for pause in pauses[3:])


async def test_a_task_stops_in_its_turn(registry: CollectorRegistry) -> None:
    order: list[str] = []

    async def relay() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("relay")

    async with _application(registry) as application:
        application.on_stop("pool", lambda: order.append("pool"))
        _ = application.supervise("relay", relay)
        application.on_stop("flush", lambda: order.append("flush"))
        await asyncio.sleep(0)
    assert order == ["flush", "relay", "pool"]
