"""What the use cases need from outside, as protocols. Owner: auth.

Adapters implement them. Every method that changes something does so in one transaction together with the events it
causes, or not at all; each raises the adapter's own error when the database is away, which passes through unhandled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from services.auth.domain.activation import CodeOnFile
from services.auth.domain.certificates import Validity
from services.auth.domain.people import Device, Person, School
from services.auth.domain.roster import AcceptedRow
from services.auth.domain.roster_import import Outcome
from services.auth.domain.units import Grant, Role, Unit


class Clock(Protocol):
    """Time as everyone in the deployment sees it."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds; only differences mean anything."""
        ...


class Entropy(Protocol):
    """The system's random source."""

    def bytes(self, count: int) -> bytes:
        """That many random bytes, fit for secrets."""
        ...


class Keys(Protocol):
    """Device keys on P-256."""

    def read(self, encoded: bytes) -> bytes:
        """The SEC 1 uncompressed point (65 bytes) of a key given so or as SubjectPublicKeyInfo (DER).

        Raises:
            KeyInvalidError: neither, or not a point of the curve.
        """
        ...

    def verify(self, public_key: bytes, signature: bytes, message: bytes) -> bool:
        """Whether an ECDSA signature with SHA-256 (r||s or DER) over the message is by the key."""
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom and what a certificate names."""

    person_id: UUID
    device_id: UUID
    npsn: str


class Tokens(Protocol):
    """What auth signs."""

    def device_certificate(self, holder: Holder, public_key: bytes, validity: Validity) -> str:
        """The certificate (JWT, ES256, with cnf)."""
        ...

    def access_token(
        self, subject: str, roles: Sequence[Role], unit: Unit, *, now: datetime, end: datetime
    ) -> str:
        """An access token."""
        ...

    def read_certificate(self, certificate: str) -> Holder:
        """The holder that a certificate of ours names, its time checked, the device's state not.

        Raises:
            CertificateInvalidError: not ours, or over.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeviceOnFile:
    """A device with what SignIn and RenewCertificate must know of its owner."""

    device: Device
    npsn: str
    person_active: bool


class EnrolmentStore(Protocol):
    """Activation codes and the binding of devices."""

    async def code(self, digest: bytes) -> CodeOnFile | None:
        """The code with this SHA-256, or None."""
        ...

    async def note_wrong_number(self, digest: bytes, *, at: datetime, bound: int) -> None:
        """Count a wrong number against an unused code; at the bound the code is voided."""
        ...

    async def bind(self, device: Device, *, digest: bytes, label: str) -> bool:
        """Use up the code, store the device, and record DeviceChanged.

        Returns:
            False when somebody else used or voided the code in between; nothing was done then.

        Raises:
            DeviceAlreadyBoundError: the person got a device in between.
            KeyAlreadyBoundError: the key is, or was, another device's.
        """
        ...


class SessionStore(Protocol):
    """Challenges, devices and grants for sessions of devices."""

    async def add_challenge(self, digest: bytes, *, device_id: UUID, end: datetime, open_bound: int) -> None:
        """Keep a challenge for a known device; the device's oldest ones beyond the bound are dropped."""
        ...

    async def take_challenge(self, digest: bytes, *, device_id: UUID) -> datetime | None:
        """Use up a challenge: until when it was good, or None when there is none (any more)."""
        ...

    async def device(self, device_id: UUID) -> DeviceOnFile | None:
        """A device with its owner."""
        ...

    async def grants(self, person_id: UUID, *, today: date) -> Sequence[Grant]:
        """What a person holds on a local date."""
        ...

    async def purge_challenges(self, *, before: datetime, most: int) -> int:
        """Delete challenges that ended before a moment, at most that many; how many it were."""
        ...


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to keep: its hash only."""

    person_id: UUID
    digest: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """Who did what, when, to whom and why."""

    at: datetime
    actor: str
    unit: str
    action: str
    person_id: UUID | None = None
    npsn: str = ""
    reason: str = ""
    count: int = 0


class DirectoryStore(Protocol):
    """People and schools, and what operators do with them."""

    async def school(self, npsn: str) -> School | None:
        """A school."""
        ...

    async def person(self, person_id: UUID) -> tuple[Person, School] | None:
        """A person with their school."""
        ...

    async def people(
        self, unit: Unit, *, npsn: str, after: UUID | None, limit: int, trail: TrailEntry | None
    ) -> tuple[Sequence[Person], Sequence[School]]:
        """One page of a unit's people by id, with their schools; the reading is recorded when a trail is given."""
        ...

    async def without_device(self, npsn: str, *, limit: int) -> Sequence[Person]:
        """Active people of a school who have no device, by name."""
        ...

    async def some_people(self, npsn: str, person_ids: Sequence[UUID]) -> Sequence[Person]:
        """Those of the ids who belong to the school, by name."""
        ...

    async def issue_codes(self, codes: Sequence[NewCode], *, trail: TrailEntry) -> None:
        """Void the people's unused codes and keep the new ones."""
        ...

    async def replace_device(self, code: NewCode, *, now: datetime, trail: TrailEntry) -> Device | None:
        """Void the person's unused codes, revoke their device (recording DeviceChanged) and keep a new code.

        Returns:
            The device revoked, or None when there was none.
        """
        ...


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """A place in the stream of device changes.

    Attributes:
        database: names the database and its history; a position of another one means nothing here.
        cursor: everything with a lower number is committed, told, or both.
    """

    database: str
    cursor: int


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """Some changed devices.

    Attributes:
        position: the position of the snapshot that this page was read in.
        changed: the number of each change, with the device as it is now; ascending by number, then id.
    """

    position: FeedPosition
    changed: Sequence[tuple[int, Device]]


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """How many rows became what, and how many schools were created or changed."""

    created: int
    updated: int
    unchanged: int
    schools_changed: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What an import changed.

    Attributes:
        outcomes: of the rows, in their order.
        schools_changed: schools created or changed.
    """

    outcomes: list[Outcome]
    schools_changed: int


class RosterStore(Protocol):
    """Where an import goes."""

    async def known_schools(self) -> Sequence[School]:
        """All schools of the regency."""
        ...

    async def apply(
        self,
        schools: Sequence[School],
        rows: Sequence[AcceptedRow],
        *,
        now: datetime,
        trail: TrailEntry | None,
    ) -> Applied:
        """Store schools, people and the roles that the roster gives, in one transaction.

        Only what really differs is written, gets a new version and is told (PersonChanged; a school's change tells
        its people again). Without a trail it is a dry run: everything is done and then taken back. If the caller is
        gone before the commit, everything is taken back too.

        Raises:
            ImportRunningError: another import of the regency is being applied.
        """
        ...


class EventBodies(Protocol):
    """Serialized events, as the contract words them."""

    def person_changed(self, person: Person, school: School) -> bytes:
        """A hadir.events.v1.PersonChanged."""
        ...

    def device_changed(self, device: Device) -> bytes:
        """A hadir.events.v1.DeviceChanged, without the device's key."""
        ...


class DeviceFeed(Protocol):
    """Devices as a stream: all of them, then each change, however transactions interleave."""

    async def position(self) -> FeedPosition:
        """Where the stream is now: every change committed later is at this cursor or after it."""
        ...

    async def page(self, *, after: UUID | None, limit: int) -> Sequence[Device]:
        """Devices by id."""
        ...

    async def changes(self, cursor: int, *, after: tuple[int, UUID] | None, limit: int) -> ChangesPage:
        """Devices changed at or after a cursor that are visible now."""
        ...
