"""A clock that moves when it is told to. Owner: chassis.

It keeps the promises of the real ones (tests/contract/test_clock.py), so what is tested with it holds with them.
"""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """See chassis.clock.Clock. Starts on a Monday morning at 07:00 in Lombok unless told otherwise."""

    def __init__(self, now: datetime | None = None, *, offset: timedelta = timedelta(0)) -> None:
        self._machine = now or datetime(2026, 8, 2, 23, 0, tzinfo=UTC)
        self._monotonic = 1000.0
        self._offset = offset

    def now(self) -> datetime:
        return self._machine + self._offset

    def monotonic(self) -> float:
        return self._monotonic

    def offset(self) -> timedelta:
        return self._offset

    def advance(self, by: timedelta | float) -> None:
        """Lets time pass, on both scales; a number is seconds.

        Raises:
            ValueError: time does not pass backwards; `set_offset` moves the wall clock.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise ValueError("time does not pass backwards")
        self._machine += step
        self._monotonic += step.total_seconds()

    def set_offset(self, offset: timedelta) -> None:
        """Moves the wall clock and leaves the monotonic one alone, as `hadir clock` does."""
        self._offset = offset
