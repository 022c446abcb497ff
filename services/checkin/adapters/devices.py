"""Devices in memory: verified certificates in a bounded cache, revocations in full.

A tap from a device seen before costs one signature check; a miss costs one certificate check more. The database is not
asked: revocations are loaded before the service is ready and kept current by adapters.device_feed.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from chassis.errors import KeysUnavailableError as KeysNotFetchedError
from chassis.errors import RegencyMismatchError, TokenInvalidError
from chassis.tokens import DeviceCertificate, KeySet, TokenVerifier, UnknownKeyError
from services.checkin.domain.errors import CertificateInvalidError, KeysUnavailableError, WrongRegencyError

_VERIFY = ec.ECDSA(hashes.SHA256())
_RAW_LENGTH = 64


@dataclass(frozen=True, slots=True)
class VerifiedDevice:
    """A device whose certificate has been verified; see application.ports.KnownDevice."""

    device_id: UUID
    person_id: UUID
    regency: str
    not_after: datetime
    key_id: str
    key: ec.EllipticCurvePublicKey

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether signature over message is by this device: 64 bytes r||s (WebCrypto) or DER (Android Keystore)."""
        if len(signature) == _RAW_LENGTH:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            signature = encode_dss_signature(r, s)
        try:
            self.key.verify(signature, message, _VERIFY)
        except InvalidSignature:
            return False
        return True


class DeviceCache:
    """Verified certificates, least recently used out first, and all revocations.

    capacity bounds the cache (entries of about 2 kB: the certificate's hash, the parsed key). Expiry and revocation are
    not cached decisions: they are compared with each tap's official time.
    """

    def __init__(self, verifier: TokenVerifier, *, capacity: int) -> None:
        self._verifier = verifier
        self._capacity = capacity
        self._verified: OrderedDict[bytes, VerifiedDevice] = OrderedDict()
        self._revoked: dict[UUID, datetime] = {}
        self._complete = False
        self._keys_version = verifier.keyset.version

    def known(self, certificate: str) -> VerifiedDevice | None:
        """The device of a certificate verified before by a key that auth still stands by; None on a miss."""
        if self._keys_version != self._verifier.keyset.version:
            self._forget_withdrawn_keys()
        key = sha256(certificate.encode("utf-8", "surrogatepass")).digest()
        device = self._verified.get(key)
        if device is not None:
            self._verified.move_to_end(key)
        return device

    async def learn(self, certificate: str) -> VerifiedDevice:
        """Verify a certificate's signature (not its dates) and remember it.

        A certificate by a key not seen yet makes the keys be fetched anew, once for all who ask meanwhile. Raises
        CertificateInvalidError, WrongRegencyError, KeysUnavailableError.
        """
        try:
            verified = self._verifier.certificate(certificate)
        except UnknownKeyError:
            verified = await self._learn_key(certificate)
        except RegencyMismatchError as error:
            raise WrongRegencyError from error
        except TokenInvalidError as error:
            raise CertificateInvalidError from error
        device = _device_of(verified)
        self._verified[sha256(certificate.encode()).digest()] = device
        if len(self._verified) > self._capacity:
            self._verified.popitem(last=False)
        return device

    async def _learn_key(self, certificate: str) -> DeviceCertificate:
        try:
            await self._verifier.keyset.refresh()
            return self._verifier.certificate(certificate)
        except KeysNotFetchedError as error:
            # auth alone knows whether this key is its own: come back rather than be called a forger.
            raise KeysUnavailableError from error
        except RegencyMismatchError as error:
            raise WrongRegencyError from error
        except TokenInvalidError as error:
            raise CertificateInvalidError from error

    def revoked_at(self, device_id: UUID) -> datetime | None:
        """When the device was revoked; None while it is not."""
        return self._revoked.get(device_id)

    def complete(self) -> bool:
        """Whether all revocations are known."""
        return self._complete

    def mark_complete(self) -> None:
        """Say that all revocations are known; this is for ever, as later ones only add."""
        self._complete = True

    def _forget_withdrawn_keys(self) -> None:
        keyset = self._verifier.keyset
        self._keys_version = keyset.version
        good: dict[str, bool] = {}
        for certificate, device in list(self._verified.items()):
            if device.key_id not in good:
                good[device.key_id] = _holds(keyset, device.key_id)
            if not good[device.key_id]:
                del self._verified[certificate]

    def revoke(self, revoked: Mapping[UUID, datetime]) -> None:
        """Add revocations; a revocation is for ever."""
        self._revoked.update(revoked)

    def sizes(self) -> tuple[int, int]:
        """Entries of the cache, and revocations, for the metrics."""
        return len(self._verified), len(self._revoked)


def _holds(keyset: KeySet, key_id: str) -> bool:
    try:
        keyset.get(key_id)
    except UnknownKeyError:
        return False
    return True


def _device_of(certificate: DeviceCertificate) -> VerifiedDevice:
    try:
        device_id, person_id = UUID(certificate.device_id), UUID(certificate.person_id)
    except ValueError as error:
        raise CertificateInvalidError from error
    return VerifiedDevice(
        device_id,
        person_id,
        certificate.regency,
        certificate.not_after,
        certificate.key_id,
        certificate.public_key,
    )
