"""What checkin's use cases need from the outside world. adapters/ implements these; tests/fakes/ has stand-ins."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, TypeVar
from uuid import UUID

from services.checkin.domain.tap import AcceptedTap, Evidence, Judgement, School

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signed receipt: serialized content, 64-byte r||s signature, key id. Byte-identical for a tap_id for ever."""

    content: bytes
    signature: bytes
    key_id: str


@dataclass(frozen=True, slots=True)
class KnownReceipt:
    """A stored tap's receipt and the hash of the evidence it was given for."""

    evidence_sha256: bytes
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class JudgedTap:
    """A tap ready to be stored: judged, with its stored time and sealed receipt."""

    tap: AcceptedTap
    judgement: Judgement
    npsn: str | None
    stored_at: datetime
    receipt: Receipt


class KnownDevice(Protocol):
    """A device whose certificate has been verified."""

    @property
    def device_id(self) -> UUID:
        """The device."""
        ...

    @property
    def person_id(self) -> UUID:
        """Its owner, the certificate's subject."""
        ...

    @property
    def regency(self) -> str:
        """Regency of the certificate, four digits."""
        ...

    @property
    def not_after(self) -> datetime:
        """End of the certificate's validity."""
        ...

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether signature (64 bytes r||s, or DER) over message is by this device's key (ECDSA P-256, SHA-256)."""
        ...


class Devices(Protocol):
    """Certificates and revocations, all in memory: the database is not asked on a tap's path."""

    def known(self, certificate: str) -> KnownDevice | None:
        """The device of a certificate verified before; None on a miss."""
        ...

    async def learn(self, certificate: str) -> KnownDevice:
        """Verify a certificate and remember it. Raises CertificateInvalidError, KeysUnavailableError."""
        ...

    def complete(self) -> bool:
        """Whether all revocations are known: before, no tap can be taken."""
        ...

    def revoked_at(self, device_id: UUID) -> datetime | None:
        """When the device was revoked; None while it is not."""
        ...


class EvidenceDecoder(Protocol):
    """Turns evidence bytes into Evidence."""

    def __call__(self, data: bytes) -> Evidence:
        """Decode and validate. Raises EvidenceMalformedError, or the validation error with its fields."""
        ...


class ReceiptSealer(Protocol):
    """Writes and signs receipts."""

    def seal(self, tap: AcceptedTap, judgement: Judgement, stored_at: datetime) -> Receipt:
        """The receipt of a tap. Deterministic: the same arguments give the same bytes (RFC 6979)."""
        ...


class TapTransaction(Protocol):
    """One open transaction of the tap store."""

    async def schools_of(self, person_ids: Collection[UUID]) -> Mapping[UUID, School]:
        """The schools of these people, as far as the roster here knows them."""
        ...

    async def insert(self, taps: Sequence[JudgedTap]) -> frozenset[UUID]:
        """Insert taps whose tap_id is new, each with its outbox row; returns the ids that were new."""
        ...

    async def receipts(self, tap_ids: Collection[UUID]) -> Mapping[UUID, KnownReceipt]:
        """The receipts of stored taps, read in a statement of its own."""
        ...


class TapStore(Protocol):
    """Where taps are committed."""

    async def transact(self, work: Callable[[TapTransaction], Awaitable[T]]) -> T:
        """Run work in one transaction and commit.

        work may run again (it must be idempotent): a commit whose outcome is unknown is repeated in a transaction that
        writes, and only that one's commit counts. Raises StorageUnavailableError when the database cannot commit now.
        """
        ...


class PeopleReads(Protocol):
    """What reads of people need."""

    async def school_of(self, person_id: UUID) -> School | None:
        """The person's school; None when the roster here does not know them."""
        ...

    async def heads(self) -> Mapping[int, int]:
        """Active people by their school's working days a week."""
        ...


class TapReads(Protocol):
    """What reads of taps need."""

    async def of_day(self, person_id: UUID, work_date: date, limit: int) -> Sequence[Receipt]:
        """The receipts of one person's work date in official order, at most limit."""
        ...

    def listing(
        self, first: date | None, last: date | None, after: UUID | None, *, practice: bool, batch: int
    ) -> AsyncIterator[Sequence["ListedTap"]]:
        """Stored taps in tap_id order, in batches of at most batch."""
        ...


@dataclass(frozen=True, slots=True)
class ListedTap:
    """A stored tap as rebuilds read it."""

    evidence: bytes
    signature: bytes
    device_id: UUID
    receipt: Receipt
    npsn: str | None
