"""What every clock promises, the real ones and the fake alike. Owner: chassis."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis.clock import Clock, OffsetClock, SystemClock
from tests.fakes.clock import FakeClock


def _offset_clock(tmp_path: Path) -> Clock:
    file = tmp_path / "offset"
    file.write_text("-3600.5\n")
    return OffsetClock(file)


MAKERS: dict[str, Callable[[Path], Clock]] = {
    "system": lambda _: SystemClock(),
    "offset": _offset_clock,
    "fake": lambda _: FakeClock(),
    "fake with offset": lambda _: FakeClock(offset=timedelta(days=2)),
}


@pytest.fixture(params=list(MAKERS))
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> Clock:
    return MAKERS[request.param](tmp_path)


def test_now_is_aware_and_utc(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC


def test_time_does_not_go_back_by_itself(clock: Clock) -> None:
    times = [clock.now() for _ in range(100)]
    steps = [clock.monotonic() for _ in range(100)]
    assert times == sorted(times)
    assert steps == sorted(steps)


def test_the_offset_is_the_distance_from_the_machines_time(clock: Clock) -> None:
    if isinstance(clock, FakeClock):
        before = clock.now()
        clock.set_offset(clock.offset() + timedelta(hours=1))
        assert clock.now() - before == timedelta(hours=1)
        return
    distance = clock.now() - datetime.now(UTC) - clock.offset()
    assert abs(distance) < timedelta(seconds=1)


def test_an_offset_leaves_durations_alone(clock: Clock, tmp_path: Path) -> None:
    before = clock.monotonic()
    if isinstance(clock, FakeClock):
        clock.set_offset(timedelta(days=10))
    else:
        (tmp_path / "offset").write_text("864000")
    assert 0 <= clock.monotonic() - before < 1
