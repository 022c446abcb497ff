import base64
import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.tokens import MAX_KEYS, KeySet, public_jwk, public_key_from_jwk, signing_jwk, thumbprint
from tests.fakes.clock import FakeClock

AUTH = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())


async def test_keys_are_fetched_when_one_is_unknown_but_not_over_and_over() -> None:
    clock, fetched = FakeClock(), 0

    async def fetch() -> list[dict[str, str]]:
        nonlocal fetched
        fetched += 1
        return [signing_jwk(STRANGER.public_key())]

    keyset = KeySet(refresh=fetch, clock=clock, min_interval=timedelta(seconds=10))
    assert await keyset.refresh()
    assert not await keyset.refresh()
    clock.advance(9.9)
    assert not await keyset.refresh()
    clock.advance(0.1)
    assert await keyset.refresh()
    assert fetched == 2
    assert keyset.get(thumbprint(STRANGER.public_key())).curve.name == "secp256r1"


@pytest.mark.parametrize(
    "keys",
    [
        [{**signing_jwk(AUTH.public_key()), "kid": ""}],
        [signing_jwk(AUTH.public_key())] * 2,
        [{**signing_jwk(AUTH.public_key()), "alg": "HS256"}],
        [{**signing_jwk(AUTH.public_key()), "use": "enc"}],
        [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}],
        [{**signing_jwk(AUTH.public_key()), "kid": str(number)} for number in range(MAX_KEYS + 1)],
    ],
)
def test_a_bad_key_set_changes_nothing(keys: list[dict[str, str]]) -> None:
    keyset = KeySet([signing_jwk(AUTH.public_key())])
    with pytest.raises(ValueError, match=r"key"):
        keyset.update(keys)
    assert len(keyset) == 1
    assert keyset.version == 1


def test_a_thumbprint_is_rfc_7638s() -> None:
    # The key of RFC 7517, appendix A.1; its thumbprint is the hash of its required members in order.
    jwk = {
        "kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    }  # fmt: skip
    text = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    expected = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    key = public_key_from_jwk(jwk)
    assert thumbprint(key) == expected
    assert public_jwk(key) == jwk
