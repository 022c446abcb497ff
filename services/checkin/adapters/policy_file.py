"""Policies from a file: the default policy of this package, or the regency's own (HADIR_POLICY_FILE).

The format is shared with reporting, which has the same packaged file; a test holds the two byte-identical.
"""

from datetime import date, time, timedelta
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from services.checkin.domain.policy import Holiday, Policy, PolicyBook, SlotTimes
from services.checkin.domain.tap import Slot

DEFAULT_POLICY = Path(__file__).parent.parent / "policy" / "default.json"
# A policy with ten years of holidays is some 100 kB.
_MAX_BYTES = 4 * 1024 * 1024


class PolicyFileError(ValueError):
    """The policy file cannot be used; the message says where and why."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Slot(_Strict):
    slot: Literal["IN", "OUT"]
    opens: time
    on_time_until: time
    closes: time

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.opens <= self.on_time_until <= self.closes:
            raise ValueError("a slot needs opens <= on_time_until <= closes")
        return self


class _Weekday(_Strict):
    weekday: int = Field(ge=1, le=7)
    break_minutes: int = Field(ge=0, le=480)
    slots: tuple[_Slot, ...] = Field(max_length=2)


class _Group(_Strict):
    week_days: int = Field(ge=5, le=6)
    weekdays: tuple[_Weekday, ...] = Field(max_length=7)


class _Holiday(_Strict):
    date: date
    name: str = Field(min_length=1, max_length=120)
    week_days: tuple[int, ...] = ()


class _Class(_Strict):
    number: int = Field(ge=1, le=9)
    from_minute: int = Field(ge=1)


class _Conditional(_Strict):
    npsn: tuple[str, ...] = Field(max_length=5000)
    accept_claimed: bool = False
    late_sync_hours: int | None = Field(default=None, ge=0, le=24 * 31)


class _Policy(_Strict):
    version: int = Field(ge=1)
    valid_from: date
    zone: str
    grace_minutes: int = Field(ge=0, le=120)
    classes: tuple[_Class, ...] = Field(max_length=9)
    groups: tuple[_Group, ...] = Field(min_length=1, max_length=8)
    holidays: tuple[_Holiday, ...] = Field(max_length=2000)
    late_sync_hours: int = Field(ge=0, le=24 * 31)
    anchor_max_age_minutes: int = Field(ge=1, le=7 * 24 * 60)
    online_queue_limit_seconds: int = Field(ge=0, le=3600)
    review_delay_minutes: int = Field(ge=0, le=24 * 60)
    poor_accuracy_m: float = Field(gt=0, le=100_000)
    tap_id_tolerance_minutes: int = Field(ge=0, le=24 * 60)
    clock_disagreement_seconds: int = Field(ge=0, le=3600)
    conditional: tuple[_Conditional, ...] = ()
    trial: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.zone not in available_timezones():
            raise ValueError(f"no IANA time zone is called {self.zone!r}")
        minutes = [each.from_minute for each in self.classes]
        if minutes != sorted(set(minutes)):
            raise ValueError("the classes' first minutes must ascend")
        return self


def _domain(policy: _Policy) -> Policy:
    schedules = {
        (group.week_days, day.weekday): {
            Slot[slot.slot]: SlotTimes(slot.opens, slot.on_time_until, slot.closes) for slot in day.slots
        }
        for group in policy.groups
        for day in group.weekdays
    }
    return Policy(
        version=policy.version,
        valid_from=policy.valid_from,
        zone=ZoneInfo(policy.zone),
        schedules=schedules,
        holidays={each.date: Holiday(each.name, frozenset(each.week_days)) for each in policy.holidays},
        grace=timedelta(minutes=policy.grace_minutes),
        classes=[(each.number, each.from_minute) for each in policy.classes],
        anchor_max_age=timedelta(minutes=policy.anchor_max_age_minutes),
        online_queue_limit=timedelta(seconds=policy.online_queue_limit_seconds),
        late_sync=timedelta(hours=policy.late_sync_hours),
        review_delay=timedelta(minutes=policy.review_delay_minutes),
        poor_accuracy_m=policy.poor_accuracy_m,
        tap_id_tolerance=timedelta(minutes=policy.tap_id_tolerance_minutes),
        clock_disagreement=timedelta(seconds=policy.clock_disagreement_seconds),
    )


class _Book(RootModel[tuple[_Policy, ...]]):
    """All versions, oldest first; a document with one policy is a book of one."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_book(cls, value: object) -> object:
        return [value] if isinstance(value, dict) else value


def parse_book(document: str | bytes) -> PolicyBook:
    """The policies of a JSON document: one, or a list of dated versions. PolicyFileError names the field at fault."""
    try:
        return PolicyBook([_domain(policy) for policy in _Book.model_validate_json(document).root])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise PolicyFileError(f"{where}: {first['msg']}") from error
    except ValueError as error:
        raise PolicyFileError(str(error)) from error


def load_policy_book(path: Path | None, *, zone: str | None = None) -> PolicyBook:
    """The policy book of a file (None: the packaged default).

    Raises PolicyFileError: it cannot be read or used, or its zone is not the deployment's (zone): work dates would then
    depend on whom one asks.
    """
    chosen = path or DEFAULT_POLICY
    try:
        with chosen.open("rb") as file:
            document = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise PolicyFileError(f"{chosen} cannot be read: {error.strerror}") from error
    if len(document) > _MAX_BYTES:
        raise PolicyFileError(f"{chosen} is larger than {_MAX_BYTES} bytes")
    book = parse_book(document)
    for policy in book.policies:
        if zone is not None and policy.zone.key != zone:
            raise PolicyFileError(
                f"{chosen}: version {policy.version} is for {policy.zone.key}, and HADIR_ZONE is {zone}"
            )
    return book
