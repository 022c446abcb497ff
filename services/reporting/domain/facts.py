"""The facts a day is judged by: taps as checkin accepted them. Owned by reporting.

The numbers of the enumerations are those of `hadir.checkin.v1` and `hadir.events.v1` (a test holds them equal),
so that nothing has to be translated between an event, a row and a rule.
"""

from collections.abc import Iterable
from datetime import date, datetime
from enum import IntEnum
from typing import NamedTuple


class Slot(IntEnum):
    """Which of the two daily registrations a tap is for."""

    IN = 1
    OUT = 2


class TimeGrade(IntEnum):
    """How a tap's official time was established."""

    ANCHORED = 1
    BRACKETED = 2
    ARRIVAL = 3
    CLAIMED = 4


class Flag(IntEnum):
    """The flags that reporting's rules look at; a tap may carry others, which are only counted and shown."""

    LONG_DELAY = 13
    LATE_SYNC_EXPIRED = 15
    DEVICE_REVOKED_SINCE = 16


class Verdict(IntEnum):
    """Judgement of a single tap against a slot's times."""

    ON_TIME = 1
    LATE = 2
    EARLY_LEAVE = 3
    OUTSIDE_WINDOW = 4
    NOT_A_WORKING_DAY = 5


class SlotResult(IntEnum):
    """What became of one slot of a day."""

    PRESENT = 1
    LATE = 2
    EARLY_LEAVE = 3
    MISSING = 4
    PENDING = 5


class Tap(NamedTuple):
    """One accepted tap. `flags` is a set of bits: bit n stands for flag number n. Times are aware, in UTC."""

    tap_id: str
    slot: int
    official_time: datetime
    time_grade: int
    flags: int


class PersonDay(NamedTuple):
    """One person on one local work date: the unit that is assessed."""

    person_id: str
    work_date: date


def flag_bits(numbers: Iterable[int]) -> int:
    """Flag numbers as a set of bits.

    Numbers this version does not know are kept up to 62, the last that fits a signed 64-bit column; greater ones
    share bit 62, so that the tap still counts as flagged.
    """
    bits = 0
    for number in numbers:
        bits |= 1 << min(number, 62)
    return bits


def flag_numbers(bits: int) -> list[int]:
    """The flag numbers of a set of bits, ascending."""
    return [number for number in range(bits.bit_length()) if bits >> number & 1]
