"""What auth signs: device certificates and access tokens; and its public keys. Owner: auth.

The signing key signs; retired keys are only told (GetJwks), so that what they signed is still believed until it ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.clock import Clock
from chassis.errors import AuthenticationError, RegencyMismatchError
from chassis.keys import MAX_KEYS, signing_jwk, thumbprint
from chassis.tokens import TokenVerifier, device_claims, issue
from services.auth.adapters.crypto import load_point
from services.auth.application.ports import Holder
from services.auth.application.sessions import holder_of
from services.auth.domain.certificates import Validity
from services.auth.domain.errors import CertificateInvalidError
from services.auth.domain.units import Role, Unit

MOST_RETIRED: Final = MAX_KEYS - 1
_KEY_FILE_BYTES: Final = 16 * 1024


class KeyFileError(ValueError):
    """A key file does not hold what it should; the message names it and never its content."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key that signs and those that did.

    Attributes:
        private: signs.
        key_id: its RFC 7638 thumbprint.
        jwks: the public keys as JSON Web Keys, the signing one first.
    """

    private: ec.EllipticCurvePrivateKey
    key_id: str
    jwks: Sequence[Mapping[str, str]]


def load_signing_keys(pem: str, retired: Path | None) -> SigningKeys:
    """The keys of a deployment.

    Args:
        pem: the signing key, PEM, P-256, unencrypted.
        retired: a folder of PEM files (*.pem), each the public or private half of a key that signed before.

    Raises:
        KeyFileError: one of them is something else, or there are more than `MOST_RETIRED`.
    """
    try:
        private = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError("the signing key is no unencrypted PEM private key") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise KeyFileError("the signing key is no P-256 key")
    keys = {thumbprint(private.public_key()): signing_jwk(private.public_key())}
    for key in _retired_keys(retired):
        keys.setdefault(thumbprint(key), signing_jwk(key))
    return SigningKeys(private, next(iter(keys)), tuple(keys.values()))


def _retired_keys(folder: Path | None) -> list[ec.EllipticCurvePublicKey]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise KeyFileError(f"{folder} is no folder of retired keys")
    # Newest name first, so that a verifier that tries them in order meets the likely one early.
    files = sorted(folder.glob("*.pem"), reverse=True)
    if len(files) > MOST_RETIRED:
        raise KeyFileError(f"{folder} holds {len(files)} keys; at most {MOST_RETIRED} are told")
    return [_public_half(file) for file in files]


def _public_half(file: Path) -> ec.EllipticCurvePublicKey:
    try:
        with file.open("rb") as opened:
            content = opened.read(_KEY_FILE_BYTES)
        if b"PRIVATE KEY" in content:
            loaded = serialization.load_pem_private_key(content, password=None)
            key = loaded.public_key() if isinstance(loaded, ec.EllipticCurvePrivateKey) else None
        else:
            public = serialization.load_pem_public_key(content)
            key = public if isinstance(public, ec.EllipticCurvePublicKey) else None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError(f"{file} is no readable PEM key") from None
    if key is None or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(f"{file} holds no P-256 key")
    return key


def mint_access_token(
    keys: SigningKeys,
    *,
    subject: str,
    roles: Sequence[Role],
    unit: Unit,
    regency: str,
    now: datetime,
    lifetime: timedelta,
) -> str:
    """An access token."""
    return issue(
        keys.private,
        kind="access",
        subject=subject,
        regency=regency,
        now=now.replace(microsecond=0),
        lifetime=lifetime,
        claims={"roles": [role.value for role in roles], "unit": str(unit)},
        key_id=keys.key_id,
    )


def mint_service_token(
    keys: SigningKeys, *, service: str, regency: str, now: datetime, lifetime: timedelta
) -> str:
    """A token for another of Hadir's services ("checkin")."""
    return issue(
        keys.private,
        kind="service",
        subject=f"service:{service}",
        regency=regency,
        now=now.replace(microsecond=0),
        lifetime=lifetime,
        key_id=keys.key_id,
    )


class SignedTokens:
    """`Tokens`, as JSON Web Tokens."""

    def __init__(self, *, keys: SigningKeys, verifier: TokenVerifier, regency: str, clock: Clock) -> None:
        self._keys = keys
        self._verifier = verifier
        self._regency = regency
        self._clock = clock

    def device_certificate(self, holder: Holder, public_key: bytes, validity: Validity) -> str:
        """See the port."""
        return issue(
            self._keys.private,
            kind="device",
            subject=str(holder.person_id),
            regency=self._regency,
            now=validity.issued_at,
            lifetime=validity.not_after - validity.issued_at,
            claims=device_claims(
                device_id=str(holder.device_id), school=holder.npsn, key=load_point(public_key)
            ),
            key_id=self._keys.key_id,
        )

    def access_token(
        self, subject: str, roles: Sequence[Role], unit: Unit, *, now: datetime, end: datetime
    ) -> str:
        """See the port."""
        return mint_access_token(
            self._keys,
            subject=subject,
            roles=roles,
            unit=unit,
            regency=self._regency,
            now=now,
            lifetime=end - now.replace(microsecond=0),
        )

    def read_certificate(self, certificate: str) -> Holder:
        """See the port."""
        try:
            read = self._verifier.certificate(certificate)
        except (AuthenticationError, RegencyMismatchError):
            raise CertificateInvalidError from None
        if read.not_after < self._clock.now():
            raise CertificateInvalidError
        return holder_of(read.person_id, read.device_id, read.school)
