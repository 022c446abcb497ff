"""Events on their way to the outbox: subject, id, source and body. Owner: auth (docs/events.md)."""

from datetime import datetime

from chassis.jetstream import subject
from chassis.outbox import OutboxEvent
from services.auth.application.ports import EventBodies
from services.auth.domain.people import Device, Person, School

SCHEMA = "auth"


class Events:
    """Makes outbox rows of a regency's changes.

    An event's id is its aggregate with its version, so that the same change told twice is one event to the stream.
    """

    def __init__(self, *, regency: str, bodies: EventBodies) -> None:
        self._bodies = bodies
        self._source = f"/hadir/{regency}/auth"
        self._person_changed = subject(regency, "auth", "person_changed")
        self._device_changed = subject(regency, "auth", "device_changed")

    def person_changed(self, person: Person, school: School, *, at: datetime) -> OutboxEvent:
        """PersonChanged; the school as it is now is a part of it, so its version is a part of the id."""
        return OutboxEvent(
            subject=self._person_changed,
            msg_id=f"{person.person_id}:{person.version}:{school.version}",
            event_type="hadir.events.v1.PersonChanged",
            source=self._source,
            payload=self._bodies.person_changed(person, school),
            occurred_at=at,
        )

    def device_changed(self, device: Device, *, at: datetime) -> OutboxEvent:
        """DeviceChanged."""
        return OutboxEvent(
            subject=self._device_changed,
            msg_id=f"{device.device_id}:{device.version}",
            event_type="hadir.events.v1.DeviceChanged",
            source=self._source,
            payload=self._bodies.device_changed(device),
            occurred_at=at,
        )
