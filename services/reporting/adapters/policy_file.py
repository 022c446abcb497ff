"""Reads the dated rules from a JSON document. Owned by reporting.

The format is shared with checkin, which judges the same taps provisionally (tests hold both packaged documents
byte-identical). Keys that only checkin needs (anchor ages, fences' accuracy) are ignored here.
"""

import json
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from services.reporting.domain.facts import Slot
from services.reporting.domain.policy import ConditionalRule, MinutesClass, Policy, PolicyBook, SlotTimes

PACKAGED = Path(__file__).resolve().parent.parent / "policy" / "default.json"
"""The default rules: 07:00-15:30, weeks of five and six days."""


class PolicyInvalidError(Exception):
    """A policy document that cannot be used; the text names the file and, line by line, the fields."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{name!r} is no IANA zone") from error
    return name


def _local(clock: time) -> time:
    if clock.tzinfo is not None or clock.microsecond:
        raise ValueError("a local time of day, HH:MM or HH:MM:SS")
    return clock


_TimeOfDay = Annotated[time, AfterValidator(_local)]
_WeekDays = Annotated[int, Field(ge=1, le=7)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Slot(_Model):
    slot: Literal["IN", "OUT"]
    opens: _TimeOfDay
    on_time_until: _TimeOfDay
    closes: _TimeOfDay

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.opens <= self.on_time_until <= self.closes:
            raise ValueError("opens <= on_time_until <= closes does not hold")
        return self


class _Weekday(_Model):
    weekday: Annotated[int, Field(ge=1, le=7)]
    slots: Annotated[list[_Slot], Field(max_length=2)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({slot.slot for slot in self.slots}) != len(self.slots):
            raise ValueError("a slot is there twice")
        return self


class _Group(_Model):
    week_days: _WeekDays
    weekdays: Annotated[list[_Weekday], Field(max_length=7)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({day.weekday for day in self.weekdays}) != len(self.weekdays):
            raise ValueError("a weekday is there twice")
        return self


class _Holiday(_Model):
    date: date
    name: str = ""
    week_days: list[_WeekDays] = []


class _Class(_Model):
    number: Annotated[int, Field(ge=1, le=9)]
    from_minute: Annotated[int, Field(ge=1)]


class _Conditional(_Model):
    npsn: list[str]
    accept_claimed: bool = False
    late_sync_hours: Annotated[float, Field(ge=0, le=24 * 31)] | None = None


class _Policy(_Model):
    version: Annotated[int, Field(ge=1)]
    valid_from: date
    zone: Annotated[str, AfterValidator(_zone)]
    grace_minutes: Annotated[int, Field(ge=0, le=120)] = 0
    classes: Annotated[list[_Class], Field(max_length=9)]
    groups: Annotated[list[_Group], Field(min_length=1, max_length=8)]
    holidays: Annotated[list[_Holiday], Field(max_length=2_000)] = []
    late_sync_hours: Annotated[float, Field(ge=0, le=24 * 31)]
    conditional: Annotated[list[_Conditional], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        begins = [row.from_minute for row in self.classes]
        if begins != sorted(set(begins)):
            raise ValueError("classes: from_minute does not ascend")
        if len({group.week_days for group in self.groups}) != len(self.groups):
            raise ValueError("groups: week_days is there twice")
        return self


# One version, or a list of dated ones.
_DOCUMENT = TypeAdapter[_Policy | list[_Policy]](_Policy | Annotated[list[_Policy], Field(min_length=1)])


def load_policies(path: Path | None, *, zone: str) -> PolicyBook:
    """The rules of a file, or the packaged default.

    Args:
        path: of the file; None means the packaged one.
        zone: the deployment's (HADIR_ZONE). Rules of another one would put a tap on one date and the board's "today"
            on another.

    Raises:
        PolicyInvalidError: the file cannot be read, is no valid policy, or one for another zone; a service does not
            start with it.
    """
    source = path or PACKAGED
    try:
        book = parse_policies(json.loads(source.read_bytes()))
    except (OSError, ValueError) as error:
        raise PolicyInvalidError(f"{source}: {error}") from error
    for policy in book.policies:
        if policy.zone.key != zone:
            raise PolicyInvalidError(
                f"{source}: version {policy.version} is for zone {policy.zone.key}, but HADIR_ZONE is {zone}"
            )
    return book


def parse_policies(document: object) -> PolicyBook:
    """The rules of a decoded JSON document: one policy, or a list of dated ones.

    Raises:
        PolicyInvalidError: it is no valid policy.
    """
    try:
        parsed = _DOCUMENT.validate_python(document)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise PolicyInvalidError("\n".join(lines)) from error
    return PolicyBook(tuple(map(_policy, parsed if isinstance(parsed, list) else [parsed])))


def _policy(read: _Policy) -> Policy:
    return Policy(
        version=read.version,
        valid_from=read.valid_from,
        zone=ZoneInfo(read.zone),
        grace=timedelta(minutes=read.grace_minutes),
        classes=tuple(MinutesClass(row.number, row.from_minute) for row in read.classes),
        weeks={
            group.week_days: {day.weekday: _slots(day.slots) for day in group.weekdays}
            for group in read.groups
        },
        holidays=frozenset(
            (holiday.date, group) for holiday in read.holidays for group in holiday.week_days or (0,)
        ),
        late_sync=timedelta(hours=read.late_sync_hours),
        conditional={
            npsn: ConditionalRule(
                rule.accept_claimed,
                None if rule.late_sync_hours is None else timedelta(hours=rule.late_sync_hours),
            )
            for rule in read.conditional
            for npsn in rule.npsn
        },
    )


def _slots(slots: list[_Slot]) -> tuple[SlotTimes, ...]:
    read = (SlotTimes(Slot[slot.slot], slot.opens, slot.on_time_until, slot.closes) for slot in slots)
    return tuple(sorted(read, key=lambda times: times.slot))
