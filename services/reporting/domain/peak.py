"""How a morning went: arithmetic over taps' moments. Pure. Owned by reporting.

Moments are whole microseconds since the epoch, because thousands of them are sorted and subtracted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

MAX_SECONDS = 7_200
"""Most seconds a report lists: two hours of a regency's busiest, some 150 kB of answer."""

_SECOND = 1_000_000


class TapMoments(NamedTuple):
    """One tap: who, when it first arrived, when it was stored, whether somebody must review it."""

    person_id: str
    arrived: int
    stored: int
    review: bool


class SecondCount(NamedTuple):
    """One second (begin, microseconds since the epoch) and what happened in it."""

    second: int
    arrived: int
    stored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The report.

    Attributes:
        taps: all taps of the slot.
        people: those with at least one.
        first_arrival: of all; None without taps.
        seconds_to: from the first arrival until so many percent (50, 90, 99, 100) of these people had their
            first tap stored, seconds.
        wait_ms: stored minus first arrival: percentiles 50, 90, 99, 100 over the taps, milliseconds.
        seconds: the seconds in which anything happened, by time; of more than `MAX_SECONDS` the busiest.
        review: taps that somebody must review.
    """

    taps: int
    people: int
    first_arrival: int | None
    seconds_to: tuple[float, float, float, float]
    wait_ms: tuple[float, float, float, float]
    seconds: tuple[SecondCount, ...]
    review: int


def peak_of(taps: Sequence[TapMoments]) -> Peak:
    """The report over a slot's taps, in whatever order; without taps all zeros."""
    if not taps:
        none = (0.0, 0.0, 0.0, 0.0)
        return Peak(taps=0, people=0, first_arrival=None, seconds_to=none, wait_ms=none, seconds=(), review=0)
    first = min(tap.arrived for tap in taps)
    stored_by_person: dict[str, int] = {}
    for tap in taps:
        stored_by_person[tap.person_id] = min(tap.stored, stored_by_person.get(tap.person_id, tap.stored))
    in_order = sorted(stored_by_person.values())
    waits = sorted(tap.stored - tap.arrived for tap in taps)
    return Peak(
        taps=len(taps),
        people=len(in_order),
        first_arrival=first,
        seconds_to=_quartet([moment - first for moment in in_order], unit=_SECOND),
        wait_ms=_quartet(waits, unit=1_000),
        seconds=_seconds(taps),
        review=sum(tap.review for tap in taps),
    )


def _quartet(ascending: Sequence[int], *, unit: int) -> tuple[float, float, float, float]:
    def at(percent: int) -> float:
        # Nearest rank: a value that occurred, and 100 % is the last one.
        return ascending[max(ceil(percent * len(ascending) / 100), 1) - 1] / unit

    return at(50), at(90), at(99), at(100)


def _seconds(taps: Sequence[TapMoments]) -> tuple[SecondCount, ...]:
    arrived = Counter(tap.arrived // _SECOND for tap in taps)
    stored = Counter(tap.stored // _SECOND for tap in taps)
    busiest = sorted(arrived | stored, key=lambda second: (-arrived[second] - stored[second], second))
    return tuple(
        SecondCount(second * _SECOND, arrived[second], stored[second])
        for second in sorted(busiest[:MAX_SECONDS])
    )
