"""Tokens and proofs, as they are made: by auth's key, and by a device's own.

Owner: chassis. Code outside the chassis imports from chassis.tokens, which also verifies them.
"""

import hashlib
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.keys import ALGORITHM, base64url, public_jwk, thumbprint

ISSUER: Final = "hadir-auth"
AUDIENCE: Final = "hadir"
PROOF_TYPE: Final = "dpop+jwt"

Kind = Literal["anonymous", "device", "access", "service"]


def token_hash(token: str) -> str:
    """What a proof's `ath` must be: base64url of the token's SHA-256."""
    return base64url(hashlib.sha256(token.encode()).digest())


def issue(
    key: ec.EllipticCurvePrivateKey,
    *,
    kind: Kind,
    subject: str,
    regency: str,
    now: datetime,
    lifetime: timedelta,
    claims: Mapping[str, Any] | None = None,
    token_id: str | None = None,
    key_id: str | None = None,
    issuer: str = ISSUER,
    audience: str = AUDIENCE,
) -> str:
    """A signed token.

    Args:
        key: the issuer's P-256 key.
        kind: "device" (claims dev, sch, cnf), "access" (claims roles, unit) or "service".
        subject: person id or "service:NAME".
        regency: four digits.
        now: the time of issue; the token ends `lifetime` later. Both in whole seconds.
        lifetime: how long it holds.
        claims: more claims; the registered ones cannot be overridden.
        token_id: the jti; a random UUID unless given.
        key_id: the kid; the key's thumbprint unless given.
        issuer: the iss.
        audience: the aud.
    """
    issued_at = int(now.timestamp())
    payload = {
        **(claims or {}),
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": issued_at,
        "exp": issued_at + int(lifetime.total_seconds()),
        "jti": token_id or str(uuid.uuid4()),
        "reg": regency,
        "typ": kind,
    }
    kid = key_id or thumbprint(key.public_key())
    return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"kid": kid})


def device_claims(*, device_id: str, school: str, key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """The claims that make a token a device certificate; for `issue`."""
    return {"dev": device_id, "sch": school, "cnf": {"jwk": public_jwk(key)}}


def make_proof(key: ec.EllipticCurvePrivateKey, *, method: str, token: str, now: datetime) -> str:
    """The proof that a device sends with its certificate: for this method, this certificate and this moment."""
    payload = {
        "htu": method, "iat": int(now.timestamp()), "jti": str(uuid.uuid4()), "ath": token_hash(token)
    }  # fmt: skip
    return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"typ": PROOF_TYPE})
