from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis.clock import ClockRefusedError, OffsetClock, SystemClock, clock_from


def _offset(clock: OffsetClock, monkeypatch: pytest.MonkeyPatch) -> timedelta:
    monkeypatch.setattr("chassis.clock.REREAD_SECONDS", 0)
    return clock.offset()


def test_production_does_not_run_with_a_clock_that_can_be_moved(tmp_path: Path) -> None:
    with pytest.raises(ClockRefusedError, match="production"):
        clock_from(environment="production", offset_file=tmp_path / "offset")


def test_without_a_file_it_is_the_machines_time() -> None:
    assert isinstance(clock_from(environment="production", offset_file=None), SystemClock)


def test_a_moved_clock_is_moved_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "offset"
    clock = clock_from(environment="development", offset_file=file)
    assert isinstance(clock, OffsetClock)
    assert clock.offset() == timedelta(0)
    file.write_text(" 86400.25\n")
    assert _offset(clock, monkeypatch) == timedelta(days=1, milliseconds=250)
    assert clock.now() - datetime.now(UTC) > timedelta(hours=23)


def test_the_file_is_not_read_for_every_question(tmp_path: Path) -> None:
    file = tmp_path / "offset"
    file.write_text("5")
    clock = OffsetClock(file)
    file.write_text("60")
    assert clock.offset() == timedelta(seconds=5)


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_file_is_no_offset(tmp_path: Path, text: str) -> None:
    file = tmp_path / "offset"
    file.write_text(text)
    assert OffsetClock(file).offset() == timedelta(0)


@pytest.mark.parametrize("content", [b"soon", b"nan", b"inf", b"1e12", b"\xff\xfe"])
def test_what_is_no_number_of_seconds_is_refused_at_the_start_and_ignored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    file = tmp_path / "offset"
    file.write_text("7")
    clock = OffsetClock(file)
    file.write_bytes(content)
    with pytest.raises(ClockRefusedError):
        OffsetClock(file)
    assert _offset(clock, monkeypatch) == timedelta(seconds=7)
