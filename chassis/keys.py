"""Public keys: JSON Web Keys (EC, P-256) and the set of them that a service verifies by.

Owner: chassis. Code outside the chassis imports from chassis.tokens.
"""

import base64
import hashlib
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.clock import Clock
from chassis.errors import TokenInvalidError

ALGORITHM: Final = "ES256"
# Current, next and retired signing keys of one issuer: a set of more is somebody's mistake.
MAX_KEYS: Final = 32


class UnknownKeyError(TokenInvalidError):
    """A token names a key that the key set does not hold (yet)."""


class KeySet:
    """Public keys by key id, replaced as a whole.

    Args:
        keys: JSON Web Keys to begin with.
        refresh: fetches the current keys (from auth's GetJwks); called when a token names an unknown key.
        clock: for the pause between two fetches.
        min_interval: at most one fetch in this time, so that made-up key ids cannot make us flood auth.
    """

    def __init__(
        self,
        keys: Iterable[Mapping[str, Any]] = (),
        *,
        refresh: Callable[[], Awaitable[Iterable[Mapping[str, Any]]]] | None = None,
        clock: Clock | None = None,
        min_interval: timedelta = timedelta(seconds=10),
    ) -> None:
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}
        self._refresh = refresh
        self._clock = clock
        self._min_interval = min_interval.total_seconds()
        self._refreshed_at = -math.inf
        self.version = 0
        self.update(keys)

    def update(self, keys: Iterable[Mapping[str, Any]]) -> None:
        """Replaces the keys by these JSON Web Keys (EC, P-256, for signatures, each with a kid).

        Raises:
            ValueError: one is something else, a kid comes twice, or there are more than MAX_KEYS. Nothing changed.
        """
        parsed: dict[str, ec.EllipticCurvePublicKey] = {}
        for key in keys:
            kid = key.get("kid")
            if not isinstance(kid, str) or not kid or kid in parsed:
                raise ValueError(f"a key needs a kid of its own, not {kid!r}")
            if key.get("alg", ALGORITHM) != ALGORITHM or key.get("use", "sig") != "sig":
                raise ValueError(f"key {kid!r} is not for {ALGORITHM} signatures")
            parsed[kid] = public_key_from_jwk(key)
        if len(parsed) > MAX_KEYS:
            raise ValueError(f"{len(parsed)} keys; at most {MAX_KEYS} are taken")
        self._keys = parsed
        self.version += 1

    def get(self, kid: str) -> ec.EllipticCurvePublicKey:
        """The key of that id.

        Raises:
            UnknownKeyError: there is none.
        """
        try:
            return self._keys[kid]
        except KeyError:
            raise UnknownKeyError("the token's key is unknown") from None

    def __len__(self) -> int:
        return len(self._keys)

    async def refresh(self) -> bool:
        """Fetches the keys anew, unless that was done just now; True when they were fetched.

        Raises:
            Exception: whatever the injected fetch raises.
        """
        if self._refresh is None or self._clock is None:
            return False
        now = self._clock.monotonic()
        if now - self._refreshed_at < self._min_interval:
            return False
        self._refreshed_at = now
        self.update(await self._refresh())
        return True


def public_key_from_jwk(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    """The P-256 public key a JSON Web Key holds.

    Raises:
        ValueError: it holds something else; a private key is refused too, since it should not be here.
    """
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or "d" in jwk:
        raise ValueError("expected a public EC key on P-256")
    try:
        key = jwt.algorithms.ECAlgorithm.from_jwk({name: jwk[name] for name in ("kty", "crv", "x", "y")})
    except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        raise ValueError("expected a public EC key on P-256") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("expected a public EC key on P-256")  # noqa: TRY004 - a wrong value from outside
    return key


def public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """A P-256 public key as a JSON Web Key: kty, crv, x, y."""
    numbers = key.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": base64url(numbers.x.to_bytes(32, "big")),
        "y": base64url(numbers.y.to_bytes(32, "big")),
    }


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """The key's id: its RFC 7638 thumbprint (SHA-256), base64url."""
    canonical = json.dumps(public_jwk(key), sort_keys=True, separators=(",", ":"))
    return base64url(hashlib.sha256(canonical.encode()).digest())


def signing_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """A signing key as GetJwks publishes it: with its thumbprint as kid, use "sig" and the algorithm."""
    return {**public_jwk(key), "kid": thumbprint(key), "use": "sig", "alg": ALGORITHM}


def base64url(data: bytes) -> str:
    """Base64 for URLs without padding, as JOSE has it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
