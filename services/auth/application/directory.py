"""People and their codes: listing, issuing codes, replacing devices, each inside the caller's scope. Owner: auth."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.auth.application.ports import Clock, DirectoryStore, Entropy, NewCode, TrailEntry
from services.auth.domain.activation import CODE_BYTES, code_digest, new_code
from services.auth.domain.errors import (
    DeviceAlreadyBoundError,
    OutOfScopeError,
    PageTokenInvalidError,
    PersonInactiveError,
    PersonNotFoundError,
    SchoolNotFoundError,
    TooManyPeopleError,
)
from services.auth.domain.people import Device, Person, School
from services.auth.domain.units import Breadth, Caller

PAGE_SIZE = 200
MOST_CODES = 2_000
"""Codes in one answer: a message of 4 MiB holds some 20,000, a school has at most a few hundred people."""


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """One page of people."""

    people: Sequence[Person]
    schools: Sequence[School]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code in the clear, which nobody can show again."""

    person_id: UUID
    staff_number: str
    name: str
    code: str
    expires_at: datetime


async def _school_in_scope(store: DirectoryStore, caller: Caller, regency: str, npsn: str) -> School:
    scope = caller.scope(regency)
    school = await store.school(npsn)
    if school is None:
        # Only who may see the whole regency learns that a school does not exist.
        raise SchoolNotFoundError(npsn=npsn) if scope.breadth is Breadth.REGENCY else OutOfScopeError
    if not scope.covers(regency=regency, district=school.district_code, npsn=school.npsn):
        raise OutOfScopeError
    return school


class ListPeople:
    """Pages through a unit's people."""

    def __init__(self, *, clock: Clock, store: DirectoryStore, regency: str) -> None:
        self._clock = clock
        self._store = store
        self._regency = regency

    async def __call__(self, caller: Caller, *, npsn: str, page_size: int, page_token: str) -> PeoplePage:
        """One page. A human's reading is recorded: every access to a person's record is (UU PDP 27/2022).

        Raises:
            OutOfScopeError, SchoolNotFoundError: the school asked for.
            PageTokenInvalidError: not a token of ours.
        """
        scope = caller.scope(self._regency)
        after = _read_page_token(page_token)
        if npsn:
            await _school_in_scope(self._store, caller, self._regency, npsn)
        limit = page_size or PAGE_SIZE
        trail = None
        if not caller.is_service:
            trail = TrailEntry(self._clock.now(), caller.subject, str(scope), "LIST_PEOPLE", npsn=npsn)
        people, schools = await self._store.people(
            scope, npsn=npsn, after=after, limit=limit + 1, trail=trail
        )
        more = len(people) > limit
        people = people[:limit]
        shown = {person.npsn for person in people}
        token = _page_token(people[-1].person_id) if more else ""
        return PeoplePage(people, [school for school in schools if school.npsn in shown], token)


class _Codes:
    """Makes codes."""

    def __init__(self, *, clock: Clock, entropy: Entropy, life: timedelta) -> None:
        self._clock = clock
        self._entropy = entropy
        self._life = life

    def make(self, person: Person) -> tuple[IssuedCode, NewCode]:
        code = new_code(self._entropy.bytes(CODE_BYTES))
        end = (self._clock.now() + self._life).replace(microsecond=0)
        return (
            IssuedCode(person.person_id, person.staff_number, person.name, code, end),
            NewCode(person.person_id, code_digest(code), end),
        )


class IssueActivationCodes:
    """Makes codes for a school's people."""

    def __init__(
        self, *, clock: Clock, entropy: Entropy, store: DirectoryStore, regency: str, life: timedelta
    ) -> None:
        self._clock = clock
        self._store = store
        self._regency = regency
        self._codes = _Codes(clock=clock, entropy=entropy, life=life)

    async def __call__(
        self, caller: Caller, *, npsn: str, person_ids: Sequence[UUID]
    ) -> tuple[School, list[IssuedCode]]:
        """New codes, by name; the people's unused older ones are void. Not idempotent.

        Args:
            caller: who asks.
            npsn: the school.
            person_ids: only these; empty means everyone of the school who has no device.

        Raises:
            OutOfScopeError, SchoolNotFoundError: the school.
            PersonNotFoundError: one of the ids is not of this school.
            PersonInactiveError, DeviceAlreadyBoundError: one of the ids cannot have a code.
            TooManyPeopleError: more than `MOST_CODES`.
        """
        school = await _school_in_scope(self._store, caller, self._regency, npsn)
        if person_ids:
            wanted = set(person_ids)
            people = await self._store.some_people(npsn, sorted(wanted))
            missing = wanted - {person.person_id for person in people}
            if missing:
                raise PersonNotFoundError(person_id=str(min(missing)))
            for person in people:
                _may_have_code(person)
        else:
            people = await self._store.without_device(npsn, limit=MOST_CODES + 1)
        if len(people) > MOST_CODES:
            raise TooManyPeopleError(most=str(MOST_CODES))
        made = [self._codes.make(person) for person in people]
        if made:
            now, scope = self._clock.now(), caller.scope(self._regency)
            trail = TrailEntry(
                now, caller.subject, str(scope), "ISSUE_ACTIVATION_CODES", npsn=npsn, count=len(made)
            )
            await self._store.issue_codes([kept for _, kept in made], trail=trail)
        return school, [shown for shown, _ in made]


def _may_have_code(person: Person) -> None:
    if not person.active:
        raise PersonInactiveError
    if person.has_device:
        raise DeviceAlreadyBoundError


class ReplaceDevice:
    """Revokes a person's device and makes a code for the next one."""

    def __init__(
        self, *, clock: Clock, entropy: Entropy, store: DirectoryStore, regency: str, life: timedelta
    ) -> None:
        self._clock = clock
        self._store = store
        self._regency = regency
        self._codes = _Codes(clock=clock, entropy=entropy, life=life)

    async def __call__(
        self, caller: Caller, *, person_id: UUID, reason: str
    ) -> tuple[Device | None, IssuedCode]:
        """Revoke and make a code, recorded with the reason. A second call revokes nothing and makes a new code.

        Raises:
            OutOfScopeError: the person's school lies outside the caller's unit, or there is no such person.
            PersonNotFoundError: no such person, told only to who sees the whole regency.
            PersonInactiveError: struck off the roster.
        """
        scope = caller.scope(self._regency)
        found = await self._store.person(person_id)
        if found is None:
            regency_wide = scope.breadth is Breadth.REGENCY
            raise PersonNotFoundError(person_id=str(person_id)) if regency_wide else OutOfScopeError
        person, school = found
        if not scope.covers(regency=self._regency, district=school.district_code, npsn=school.npsn):
            raise OutOfScopeError
        if not person.active:
            raise PersonInactiveError
        shown, kept = self._codes.make(person)
        now = self._clock.now()
        trail = TrailEntry(
            now, caller.subject, str(scope), "REPLACE_DEVICE", person.person_id, person.npsn, reason, 1
        )
        return await self._store.replace_device(kept, now=now, trail=trail), shown


def _page_token(last: UUID) -> str:
    return base64.urlsafe_b64encode(last.bytes).rstrip(b"=").decode("ascii")


def _read_page_token(token: str) -> UUID | None:
    if not token:
        return None
    try:
        return UUID(bytes=base64.b64decode(token + "==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise PageTokenInvalidError from None
