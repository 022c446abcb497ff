"""Event consumers: what auth and checkin publish, taken into the read model. Owned by reporting.

Each handler runs inside the transaction that the chassis begins for a batch, and is acknowledged after its commit.
Handlers are idempotent and do not care for order; an event that is not this regency's, or cannot be read, raises and
is set aside by the chassis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.clock import Clock
from chassis.jetstream import Event
from chassis.wire import moment
from hadir.auth.v1 import people_pb2
from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from services.reporting.application.ingest import take_people, take_taps
from services.reporting.application.ports import (
    PersonRecord,
    ReadModel,
    RevokedDevice,
    SchoolRecord,
    TapRecord,
)
from services.reporting.domain.policy import PolicyBook

TAP_ACCEPTED = "hadir.events.v1.TapAccepted"
PERSON_CHANGED = "hadir.events.v1.PersonChanged"
DEVICE_CHANGED = "hadir.events.v1.DeviceChanged"


class ForeignEventError(Exception):
    """An event on this regency's subject that says it is another regency's."""


class TapReader(Protocol):
    """Makes the record of a tap."""

    def __call__(
        self, receipt: tap_pb2.ReceiptContent, *, device_id: str, npsn: str, network: tap_pb2.Network
    ) -> TapRecord:
        """A tap as reporting keeps it."""


class PersonReader(Protocol):
    """Makes the record of a person."""

    def __call__(self, person: people_pb2.Person, *, known_since: datetime) -> PersonRecord:
        """A person as reporting keeps them."""


class SchoolReader(Protocol):
    """Makes the record of a school."""

    def __call__(self, school: people_pb2.School, *, version: int) -> SchoolRecord:
        """A school as reporting keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapEvents:
    """Takes in TapAccepted.

    Attributes:
        model: the read model on a connection.
        book: the rules.
        clock: the time.
        regency: whose events these are, four digits.
        read_tap: makes records of messages.
    """

    model: Callable[[AsyncConnection], ReadModel]
    book: PolicyBook
    clock: Clock
    regency: str
    read_tap: TapReader

    async def apply(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        """Stores the taps of a batch and assesses the days they touch.

        Raises:
            ForeignEventError, ValueError: an event cannot be this regency's tap.
        """
        await take_taps(
            self.model(connection), self.book, [self._tap(event) for event in events], now=self.clock.now()
        )

    def _tap(self, event: Event) -> TapRecord:
        accepted = event.message
        if not isinstance(accepted, events_pb2.TapAccepted) or accepted.tap.regency != self.regency:
            raise ForeignEventError(event.subject)
        return self.read_tap(
            accepted.tap, device_id=accepted.device_id, npsn=accepted.npsn, network=accepted.network
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonEvents:
    """Takes in PersonChanged.

    Attributes:
        model: the read model on a connection.
        book: the rules.
        clock: the time.
        regency: whose events these are, four digits.
        read_person: makes records of people.
        read_school: makes records of schools.
    """

    model: Callable[[AsyncConnection], ReadModel]
    book: PolicyBook
    clock: Clock
    regency: str
    read_person: PersonReader
    read_school: SchoolReader

    async def apply(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        """Stores the newer people and schools of a batch and assesses their undecided days.

        Raises:
            ForeignEventError: an event cannot be a person of this regency.
        """
        people, schools = [], []
        for event in events:
            changed = event.message
            if not isinstance(changed, events_pb2.PersonChanged) or changed.regency != self.regency:
                raise ForeignEventError(event.subject)
            people.append(self.read_person(changed.person, known_since=event.time))
            schools.append(self.read_school(changed.school, version=changed.school_version))
        await take_people(self.model(connection), self.book, people, schools, now=self.clock.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvents:
    """Takes in DeviceChanged, of which only revocations matter here.

    Attributes:
        model: the read model on a connection.
        clock: the time.
        regency: whose events these are, four digits.
    """

    model: Callable[[AsyncConnection], ReadModel]
    clock: Clock
    regency: str

    async def apply(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        """Stores the revocations of a batch.

        Raises:
            ForeignEventError, ValueError: an event cannot be a device of this regency.
        """
        revoked = [device for event in events if (device := self._revoked(event)) is not None]
        await self.model(connection).note_revoked(revoked, now=self.clock.now())

    def _revoked(self, event: Event) -> RevokedDevice | None:
        changed = event.message
        if not isinstance(changed, events_pb2.DeviceChanged) or changed.device.regency != self.regency:
            raise ForeignEventError(event.subject)
        device = changed.device
        device_id = str(UUID(device.device_id))
        if device.status != people_pb2.DEVICE_STATUS_REVOKED:
            return None
        return RevokedDevice(
            device_id, moment(device.revoked_at) if device.HasField("revoked_at") else event.time
        )
