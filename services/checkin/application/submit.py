"""Submitting a tap: authenticate it, find its official time, queue it for the commit."""

from collections.abc import Awaitable
from dataclasses import dataclass
from hashlib import sha256

from services.checkin.application.commit import Stored
from services.checkin.application.ports import Devices, EvidenceDecoder, KnownDevice
from services.checkin.application.queue import TapQueue
from services.checkin.domain.anchor import AnchorKeys
from services.checkin.domain.errors import (
    CertificateExpiredError,
    CheckinError,
    DeviceRevokedError,
    KeysUnavailableError,
    SignatureInvalidError,
    WrongPersonError,
    WrongRegencyError,
)
from services.checkin.domain.official_time import official_time, time_flags
from services.checkin.domain.policy import PolicyBook
from services.checkin.domain.tap import AcceptedTap, Arrival, Flag, Sending

TAP_CONTEXT = b"hadir.tap.v1\0"


@dataclass(frozen=True, slots=True)
class ReceivedTap:
    """A tap as it came: bytes to verify, the certificate, and the facts of this try."""

    evidence: bytes
    signature: bytes
    certificate: str
    sending: Sending


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitTap:
    """Accepts taps. Idempotent by tap_id: a repeated tap gets the identical receipt."""

    regency: str
    devices: Devices
    decode: EvidenceDecoder
    queue: TapQueue
    book: PolicyBook
    anchor_keys: AnchorKeys

    async def __call__(self, received: ReceivedTap, arrival: Arrival) -> Stored:
        """Store one tap and return once it is committed. Raises a CheckinError that says why not."""
        self.queue.room(1)
        outcome = await (await self.begin(received, arrival))
        if isinstance(outcome, CheckinError):
            raise outcome
        return outcome

    async def begin(self, received: ReceivedTap, arrival: Arrival) -> Awaitable[Stored | CheckinError]:
        """Queue one tap without waiting for its commit (batches). Raises a CheckinError when it is refused at once."""
        if not self.devices.complete():
            # Health keeps the edge away meanwhile; a gateway on direct gRPC, or an edge in a panic, does not ask it.
            raise KeysUnavailableError
        device = self.devices.known(received.certificate) or await self.devices.learn(received.certificate)
        return self.queue.enter(self.accept(received, arrival, device))

    def accept(self, received: ReceivedTap, arrival: Arrival, device: KnownDevice) -> AcceptedTap:
        """Verify a tap against its device and find its official time. Raises a CheckinError if it is not authentic."""
        if device.regency != self.regency:
            raise WrongRegencyError(audience=device.regency, regency=self.regency)
        if not device.verify(received.signature, TAP_CONTEXT + received.evidence):
            raise SignatureInvalidError
        evidence = self.decode(received.evidence)
        if evidence.audience != self.regency:
            raise WrongRegencyError(audience=evidence.audience, regency=self.regency)
        if evidence.person_id != device.person_id:
            raise WrongPersonError
        policy = self.book.at(arrival.at)
        official = official_time(
            evidence, received.sending, arrival, device.device_id, policy, self.anchor_keys
        )
        flags = time_flags(evidence, received.sending, arrival, official, policy)
        revoked_at = self.devices.revoked_at(device.device_id)
        refusal: CheckinError | None = None
        if official.at > device.not_after:
            refusal = CertificateExpiredError(not_after=device.not_after.isoformat(timespec="seconds"))
        elif revoked_at is not None and official.at >= revoked_at:
            refusal = DeviceRevokedError(revoked_at=revoked_at.isoformat(timespec="seconds"))
        elif revoked_at is not None:
            flags = (*flags, Flag.DEVICE_REVOKED_SINCE)
        return AcceptedTap(
            evidence=evidence,
            evidence_bytes=received.evidence,
            evidence_sha256=sha256(received.evidence).digest(),
            signature=received.signature,
            device_id=device.device_id,
            arrival=arrival,
            official=official,
            flags=flags,
            refusal=refusal,
        )
