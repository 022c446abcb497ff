"""The time, as a thing that is passed in: nothing else in Hadir asks the machine what date and time it is.

Owner: chassis. A clock that can be moved exists for demonstrations (a staged 07:00) and tests; a production deployment
refuses to start with one (`clock_from`).
"""

import math
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

# How often a moved clock looks at its file: often enough for a person who waits for it, seldom enough to cost nothing.
REREAD_SECONDS = 1.0

# A moved clock may be this far away. Beyond it a typing error is likelier than a test's wish, and datetime overflows.
MAX_OFFSET = timedelta(days=3650)


class ClockRefusedError(ValueError):
    """A clock was configured that this deployment must not run with, or its offset cannot be read."""


class Clock(Protocol):
    """What the time is. Implementations wait for nothing but a small local file."""

    def now(self) -> datetime:
        """The current time: aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an unspecified start, for measuring durations; never goes back, never moved by an offset."""
        ...

    def offset(self) -> timedelta:
        """What `now` adds to the machine's time; to be added to times stamped by others on this machine (the edge)."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def offset(self) -> timedelta:
        """See Clock. Always zero."""
        return timedelta(0)


class OffsetClock:
    """The machine's time plus what a file says: seconds as text, the same for every process and kept over restarts.

    A file that is absent or empty means zero, so that a stack can start before anybody moves its clock. A file that
    cannot be understood later on keeps the last offset that could: time must not jump because of a half-written file.

    Raises:
        ClockRefusedError: when the file's content at the start is no number of seconds within MAX_OFFSET.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = _read_offset(path)
        self._read_at = time.monotonic()

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC) + self.offset()

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def offset(self) -> timedelta:
        """See Clock. Re-read from the file at most once in REREAD_SECONDS."""
        monotonic = time.monotonic()
        if monotonic - self._read_at >= REREAD_SECONDS:
            self._read_at = monotonic
            with suppress(ClockRefusedError):
                self._offset = _read_offset(self._path)
        return self._offset


def clock_from(*, environment: str, offset_file: Path | None) -> Clock:
    """The clock a deployment runs with.

    Raises:
        ClockRefusedError: a production deployment was given a clock that can be moved.
    """
    if offset_file is None:
        return SystemClock()
    if environment == "production":
        raise ClockRefusedError(
            "HADIR_CLOCK_OFFSET_FILE is set, and a production deployment does not run with a clock that can be moved"
        )
    return OffsetClock(offset_file)


def _read_offset(path: Path) -> timedelta:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return timedelta(0)
    except (OSError, UnicodeDecodeError) as error:
        raise ClockRefusedError(f"the clock's offset cannot be read from {path}: {error}") from error
    if not text:
        return timedelta(0)
    try:
        seconds = float(text)
    except ValueError as error:
        raise ClockRefusedError(f"{path} holds no number of seconds: {text[:40]!r}") from error
    if not math.isfinite(seconds) or abs(seconds) > MAX_OFFSET.total_seconds():
        raise ClockRefusedError(f"{path} asks for more than {MAX_OFFSET.days} days: {text[:40]!r}")
    return timedelta(seconds=seconds)
