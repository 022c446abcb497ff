"""Public keys: JSON Web Keys (EC, P-256) and the set of them that a service verifies by.

Owner: chassis. Code outside the chassis imports from chassis.tokens.
"""

import asyncio
import base64
import hashlib
import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.clock import Clock
from chassis.errors import KeysUnavailableError, TokenInvalidError

logger = logging.getLogger(__name__)

ALGORITHM: Final = "ES256"
# Current, next and retired signing keys of one issuer: a set of more is somebody's mistake.
MAX_KEYS: Final = 32


class UnknownKeyError(TokenInvalidError):
    """A token names a key that the key set does not hold (yet)."""


class KeySet:
    """Public keys by key id, replaced as a whole.

    Args:
        keys: JSON Web Keys to begin with.
        refresh: fetches the current keys (from auth's GetJwks), or raises KeysUnavailableError; called when a token
            names an unknown key. None: the keys are all there will ever be (auth's own).
        clock: for the pause between two fetches; needed with `refresh`.
        min_interval: from one fetch's beginning to the next one's, so that made-up key ids cannot make us flood auth;
            who asks sooner waits for it, or is told at once when the last fetch failed.
        patience: how long a caller of `refresh` waits, and how long a fetch may take. Above min_interval, and well
            below the ten seconds after which the edge gives a request up.

    Raises:
        ValueError: the keys are none (see `update`), or there is a refresh and no clock.
    """

    def __init__(
        self,
        keys: Iterable[Mapping[str, Any]] = (),
        *,
        refresh: Callable[[], Awaitable[Iterable[Mapping[str, Any]]]] | None = None,
        clock: Clock | None = None,
        min_interval: timedelta = timedelta(seconds=1),
        patience: timedelta = timedelta(seconds=4),
    ) -> None:
        if refresh is not None and clock is None:
            raise ValueError("a key set that fetches needs a clock")
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}
        self._fetch = refresh
        self._clock = clock
        self._min_interval = min_interval.total_seconds()
        self._patience = patience.total_seconds()
        self._began_at = -math.inf
        self._flight: asyncio.Task[bool] | None = None
        self.answered = False
        """Whether the last fetch that ended brought keys."""
        self.version = 0
        """Goes up when the keys change, and only then."""
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
        # The same keys again are no news: what was verified by them stays verified.
        if parsed != self._keys:
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

    def jwks(self) -> list[dict[str, str]]:
        """The keys as `update` takes them, by key id."""
        return [
            {**public_jwk(key), "kid": kid, "use": "sig", "alg": ALGORITHM}
            for kid, key in sorted(self._keys.items())
        ]

    def __len__(self) -> int:
        return len(self._keys)

    async def refresh(self) -> None:
        """Fetches the keys anew; all who ask while a fetch is under way or due share its outcome.

        On return a fetch has succeeded since the call began (or there is nobody to ask): a key that is unknown now is
        nobody's. A caller that is cancelled leaves the fetch to the others.

        Raises:
            KeysUnavailableError: the fetch failed, or brought no usable keys, or takes longer than a caller waits; or
                the last one failed less than min_interval ago. The keys known before stay.
        """
        if self._fetch is None or self._clock is None:
            return
        flight = self._flight
        if flight is None:
            pause = self._began_at + self._min_interval - self._clock.monotonic()
            if pause > 0 and not self.answered:
                raise KeysUnavailableError
            flight = self._flight = asyncio.create_task(
                self._fly(self._fetch, self._clock, pause), name="fetch of keys"
            )
        await asyncio.wait((flight,), timeout=self._patience)
        if not flight.done() or flight.cancelled() or not flight.result():
            raise KeysUnavailableError

    async def _fly(
        self, fetch: Callable[[], Awaitable[Iterable[Mapping[str, Any]]]], clock: Clock, pause: float
    ) -> bool:
        try:
            if pause > 0:
                await asyncio.sleep(pause)
            self._began_at = clock.monotonic()
            async with asyncio.timeout(self._patience):
                keys = tuple(await fetch())
            # An issuer without keys is one that lost them: whoever was verified a minute ago still is.
            if not keys:
                raise ValueError("no keys at all")  # noqa: TRY301 - it fails like an answer that is no keys
            self.update(keys)
        except (KeysUnavailableError, TimeoutError) as error:
            self.answered = False
            logger.warning(
                "keys could not be fetched; the known ones hold", extra={"why": str(error) or "too slow"}
            )
        except Exception:
            self.answered = False
            logger.exception("the keys that came cannot be used; the known ones hold")
        else:
            self.answered = True
        finally:
            self._flight = None
        return self.answered


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
