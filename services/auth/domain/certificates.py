"""How long a device certificate holds and when it is renewed. Owner: auth.

Everyone enrolls in the same few days, so equal lifetimes would renew and end together: both times are drawn at
random, and renewal never falls into a peak (the project's design, "The tap").
"""

import random
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of every local day, `start` included, `end` not; within one day, start before end."""

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError("a window starts before it ends, on the same day")


@dataclass(frozen=True, slots=True)
class Validity:
    """When a certificate begins, should be renewed and ends; all aware, whole seconds."""

    issued_at: datetime
    renew_after: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class CertificateRules:
    """A regency's choices, from settings.

    Attributes:
        lifetime: shortest validity; at least four days, so that there is a day to renew on.
        spread: up to this much is added, at random.
        peaks: local times of day when nothing is renewed.
        zone: the regency's zone.
    """

    lifetime: timedelta
    spread: timedelta
    peaks: tuple[Window, ...]
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if self.lifetime < 4 * _DAY:
            raise ValueError("a certificate lives for at least four days")
        if not _free_seconds(self.peaks):
            raise ValueError("the peaks leave no time of the day to renew")


def validity(rules: CertificateRules, *, now: datetime, source: random.Random) -> Validity:
    """Draw the times of a new certificate.

    Renewal is drawn from the local days between half and four fifths of the validity: late enough that a phone is
    asked seldom, early enough that one that was off for a fortnight (with the default eight weeks) still holds.
    """
    issued = now.replace(microsecond=0)
    not_after = (
        issued + rules.lifetime + timedelta(seconds=int(source.uniform(0, rules.spread.total_seconds())))
    )
    first = _local_date(issued + (not_after - issued) / 2, rules.zone)
    last = max(first, _local_date(issued + (not_after - issued) * 4 / 5, rules.zone))
    day = first + timedelta(days=source.randint(0, (last - first).days))
    return Validity(issued, _quiet_moment(day, rules, source), not_after)


def in_window(moment: datetime, windows: tuple[Window, ...], zone: ZoneInfo) -> bool:
    """Whether a moment lies in one of the windows of its local day."""
    local = moment.astimezone(zone).time()
    return any(window.start <= local < window.end for window in windows)


def _local_date(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def _quiet_moment(day: date, rules: CertificateRules, source: random.Random) -> datetime:
    free = _free_seconds(rules.peaks)
    drawn = source.randrange(sum(end - start for start, end in free))
    for start, end in free:
        if drawn < end - start:
            drawn += start
            break
        drawn -= end - start
    local = datetime.combine(day, time(drawn // 3600, drawn // 60 % 60, drawn % 60), rules.zone)
    return local.astimezone(ZoneInfo("UTC"))


def _free_seconds(peaks: tuple[Window, ...]) -> list[tuple[int, int]]:
    """The parts of a day outside the peaks, as seconds since midnight."""
    free, at = [], 0
    for start, end in sorted((_seconds(peak.start), _seconds(peak.end)) for peak in peaks):
        if start > at:
            free.append((at, start))
        at = max(at, end)
    if at < 86_400:
        free.append((at, 86_400))
    return free


def _seconds(moment: time) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second
