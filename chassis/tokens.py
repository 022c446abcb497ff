"""Who is calling: JSON Web Tokens (ES256 only), and proofs that a device holds its certificate's key.

Owner: chassis. auth issues, every service verifies by auth's public keys. A device certificate is a JWT with the
device's public key in `cnf` (RFC 7800); a device's own reads carry it with a fresh proof by that key (the idea of
DPoP, RFC 9449), so a stolen certificate is worth nothing.
"""

import hmac
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.clock import Clock
from chassis.errors import (
    ProofInvalidError,
    ProofMissingError,
    ProofStaleError,
    RegencyMismatchError,
    TokenExpiredError,
    TokenInvalidError,
)
from chassis.issuing import AUDIENCE, ISSUER, PROOF_TYPE, Kind, device_claims, issue, make_proof, token_hash
from chassis.keys import (
    ALGORITHM,
    MAX_KEYS,
    KeySet,
    UnknownKeyError,
    public_jwk,
    public_key_from_jwk,
    signing_jwk,
    thumbprint,
)

__all__ = [
    "ANONYMOUS",
    "AUDIENCE",
    "ISSUER",
    "Kind",
    "MAX_KEYS",
    "DeviceCertificate",
    "KeySet",
    "Principal",
    "TokenVerifier",
    "UnknownKeyError",
    "device_claims",
    "issue",
    "make_proof",
    "public_jwk",
    "public_key_from_jwk",
    "signing_jwk",
    "thumbprint",
    "token_hash",
]


# Our own tokens stay below 1 KiB; what is longer is not ours, and need not be parsed.
MAX_TOKEN_CHARS: Final = 4096
MAX_PROOF_CHARS: Final = 2048
# Clocks of nodes agree within 250 ms; a minute covers one that lost its time server.
ISSUED_AT_LEEWAY: Final = timedelta(seconds=60)
# A proof may be replayed by who can read it for as long as it is fresh; reads only, and phones' clocks are wrong.
PROOF_FRESH: Final = timedelta(seconds=300)

_TOKEN_KINDS: Final = ("device", "access", "service")
_CLAIMS: Final = ("iss", "aud", "sub", "iat", "exp", "jti", "reg", "typ")
# Time is checked by our own clock, not by the machine's; the rest of what PyJWT can check, it checks.
_OPTIONS: Final[Any] = {
    "require": list(_CLAIMS), "verify_exp": False, "verify_iat": False, "verify_nbf": False
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, as far as credentials tell.

    Attributes:
        kind: what the credentials were.
        subject: a person's id, or "service:NAME".
        regency: the tenant, four digits.
        roles: what the caller may act as; a device acts as nobody but its person, so it has none.
        unit: the scope roles hold in: "regency:5202", "district:52.02.01", "school:50203000", or "".
        device_id: the device, for kind "device".
        school: that device's person's school (NPSN) when the certificate was made.
        token: the token itself, for passing on; never logged.
        key: the device's public key, for kind "device".
    """

    kind: Kind
    subject: str
    regency: str
    roles: frozenset[str] = frozenset()
    unit: str = ""
    device_id: str | None = None
    school: str | None = None
    token: str = field(default="", repr=False)
    key: ec.EllipticCurvePublicKey | None = field(default=None, repr=False, compare=False)


ANONYMOUS: Final = Principal(kind="anonymous", subject="", regency="")


@dataclass(frozen=True, slots=True)
class DeviceCertificate:
    """What a device certificate says, its signature verified. Whether it was valid at some time is the reader's check.

    Attributes:
        person_id, device_id, school, regency: whose, which, where (NPSN), and the tenant.
        public_key: the device's key; what signs taps and proofs.
        issued_at, not_after: the validity, both ends included.
        key_id: the key of auth that signed it.
    """

    person_id: str
    device_id: str
    school: str
    regency: str
    public_key: ec.EllipticCurvePublicKey
    issued_at: datetime
    not_after: datetime
    key_id: str


class TokenVerifier:
    """Establishes who is calling. Verified tokens are remembered (bounded), so that only the first call pays for ES256.

    Args:
        keyset: auth's public keys.
        issuer, audience: what `iss` and `aud` must be.
        regency: what `reg` must be: one deployment's tenant.
        clock: what `exp`, `iat` and a proof's freshness are measured against.
        remembered: how many verified tokens are kept, about 1.5 KiB each.
    """

    def __init__(
        self,
        *,
        keyset: KeySet,
        regency: str,
        clock: Clock,
        issuer: str = ISSUER,
        audience: str = AUDIENCE,
        remembered: int = 2048,
    ) -> None:
        self.keyset = keyset
        self._regency = regency
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._remembered = remembered
        self._verified: OrderedDict[str, _Verified] = OrderedDict()
        self._version = keyset.version

    def verify_bearer(self, token: str) -> Principal:
        """Who an access or service token speaks for.

        Raises:
            TokenInvalidError, TokenExpiredError, RegencyMismatchError: see there.
            ProofMissingError: it is a device certificate, which needs a proof (`verify_bound`).
        """
        verified = self._verify(token)
        if verified.principal.kind == "device":
            raise ProofMissingError
        self._check_time(verified, timedelta(0))
        return verified.principal

    def verify_bound(
        self, token: str, proof: str, method: str, *, expired_leeway: timedelta = timedelta(0)
    ) -> Principal:
        """Who a device certificate speaks for, when the caller proves that it holds the certificate's key.

        Args:
            token: the certificate.
            proof: the JWT made for this call (`make_proof`).
            method: the call's full name, "/hadir.checkin.v1.CheckinService/GetPlan".
            expired_leeway: how long after its end the certificate is still good for this method (for renewal).

        Raises:
            AuthenticationError, RegencyMismatchError: which one of chassis.errors says what was wrong.
        """
        verified = self._verify(token)
        key = verified.principal.key
        if key is None:
            raise TokenInvalidError("only a device certificate comes with the DPoP scheme")
        self._check_time(verified, expired_leeway)
        if not proof:
            raise ProofMissingError
        self._check_proof(proof, key=key, method=method, token=token)
        return verified.principal

    def certificate(self, token: str) -> DeviceCertificate:
        """What a device certificate says. Its end is not checked: a tap counts by when it was made.

        Raises:
            TokenInvalidError: it is not ours, or no device certificate.
            RegencyMismatchError: it is another regency's.
        """
        verified = self._verify(token)
        principal = verified.principal
        if principal.key is None or principal.device_id is None or principal.school is None:
            raise TokenInvalidError("no device certificate")
        return DeviceCertificate(
            person_id=principal.subject,
            device_id=principal.device_id,
            school=principal.school,
            regency=principal.regency,
            public_key=principal.key,
            issued_at=datetime.fromtimestamp(verified.issued_at, UTC),
            not_after=datetime.fromtimestamp(verified.expires_at, UTC),
            key_id=verified.key_id,
        )

    def _verify(self, token: str) -> "_Verified":
        if self._version != self.keyset.version:
            self._verified.clear()
            self._version = self.keyset.version
        verified = self._verified.get(token)
        if verified is not None:
            self._verified.move_to_end(token)
            return verified
        verified = self._decode(token)
        self._verified[token] = verified
        if len(self._verified) > self._remembered:
            self._verified.popitem(last=False)
        return verified

    def _decode(self, token: str) -> "_Verified":
        if not token or len(token) > MAX_TOKEN_CHARS:
            raise TokenInvalidError("no token of a token's length")
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            if not isinstance(kid, str):
                raise TokenInvalidError("the token names no key")
            claims = jwt.decode(
                token,
                self.keyset.get(kid),
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenInvalidError(f"the token cannot be verified: {type(error).__name__}") from error
        if claims["reg"] != self._regency:
            raise RegencyMismatchError
        return _Verified.of(claims, token=token, key_id=kid)

    def _check_time(self, verified: "_Verified", expired_leeway: timedelta) -> None:
        now = self._clock.now().timestamp()
        if now > verified.expires_at + expired_leeway.total_seconds():
            raise TokenExpiredError
        if verified.issued_at > now + ISSUED_AT_LEEWAY.total_seconds():
            raise TokenInvalidError("the token is from the future")

    def _check_proof(self, proof: str, *, key: ec.EllipticCurvePublicKey, method: str, token: str) -> None:
        if len(proof) > MAX_PROOF_CHARS:
            raise ProofInvalidError("no proof of a proof's length")
        try:
            decoded = jwt.decode_complete(
                proof,
                key,
                algorithms=[ALGORITHM],
                options={
                    "require": ["htu", "iat", "jti", "ath"], "verify_exp": False, "verify_iat": False,
                    "verify_nbf": False, "verify_aud": False, "verify_iss": False,
                },
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise ProofInvalidError(f"the proof cannot be verified: {type(error).__name__}") from error
        claims = decoded["payload"]
        if str(decoded["header"].get("typ", "")).lower() != PROOF_TYPE or claims["htu"] != method:
            raise ProofInvalidError("the proof is for something else")
        ath = claims["ath"]
        if not isinstance(ath, str) or not hmac.compare_digest(
            ath.encode(errors="replace"), token_hash(token).encode()
        ):
            raise ProofInvalidError("the proof is for another certificate")
        now = self._clock.now()
        if abs(now.timestamp() - _number(claims["iat"], ProofInvalidError)) > PROOF_FRESH.total_seconds():
            raise ProofStaleError(server_time=now.isoformat(timespec="seconds"))


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature, issuer, audience and regency were right; only time can change what it is worth."""

    principal: Principal
    issued_at: float
    expires_at: float
    key_id: str

    @classmethod
    def of(cls, claims: Mapping[str, Any], *, token: str, key_id: str) -> "_Verified":
        kind, subject = claims["typ"], claims["sub"]
        if kind not in _TOKEN_KINDS or not isinstance(subject, str) or not subject:
            raise TokenInvalidError("the token's typ or sub is not one of ours")
        regency = str(claims["reg"])
        if kind == "device":
            principal = _device(claims, subject=subject, regency=regency, token=token)
        elif kind == "service":
            principal = Principal("service", subject, regency, roles=frozenset({"service"}), token=token)
        else:
            roles, unit = claims.get("roles"), claims.get("unit")
            if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
                raise TokenInvalidError("the token's roles are no list of names")
            if not isinstance(unit, str):
                raise TokenInvalidError("the token names no unit")
            # "service" is what a service's own token says; no person can be given it.
            granted = frozenset(roles) - {"service"}
            principal = Principal("access", subject, regency, roles=granted, unit=unit, token=token)
        return cls(
            principal=principal,
            issued_at=_number(claims["iat"], TokenInvalidError),
            expires_at=_number(claims["exp"], TokenInvalidError),
            key_id=key_id,
        )


def _device(claims: Mapping[str, Any], *, subject: str, regency: str, token: str) -> Principal:
    device_id, school, confirmation = claims.get("dev"), claims.get("sch"), claims.get("cnf")
    if not isinstance(device_id, str) or not isinstance(school, str) or not isinstance(confirmation, dict):
        raise TokenInvalidError("the certificate lacks dev, sch or cnf")
    jwk = confirmation.get("jwk")
    try:
        key = public_key_from_jwk(jwk if isinstance(jwk, dict) else {})
    except ValueError as error:
        raise TokenInvalidError("the certificate's key is no P-256 key") from error
    return Principal("device", subject, regency, device_id=device_id, school=school, token=token, key=key)


# The last moment datetime knows; a claim beyond it is no time.
_MAX_TIME = datetime.max.replace(tzinfo=UTC).timestamp() - 1


def _number(value: object, error: type[TokenInvalidError] | type[ProofInvalidError]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_TIME:
        raise error("a time in the token is no time")
    return float(value)
