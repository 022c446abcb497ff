import asyncio
import base64
import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.errors import KeysUnavailableError
from chassis.tokens import MAX_KEYS, KeySet, public_jwk, public_key_from_jwk, signing_jwk, thumbprint
from tests.fakes.clock import FakeClock

AUTH = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Stands in for auth: answers when it is let, with what it has then."""

    def __init__(self) -> None:
        self.keys = [signing_jwk(AUTH.public_key())]
        self.asked = 0
        self.away: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> list[dict[str, str]]:
        self.asked += 1
        await self.open.wait()
        if self.away is not None:
            raise self.away
        return self.keys


def _keyset(issuer: Issuer, clock: FakeClock, **changes: timedelta) -> KeySet:
    spans = {"min_interval": timedelta(seconds=0.05), "patience": timedelta(seconds=2)} | changes
    return KeySet([signing_jwk(AUTH.public_key())], refresh=issuer, clock=clock, **spans)


def _asking(keyset: KeySet, callers: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(keyset.refresh()) for _ in range(callers)]


async def test_all_who_ask_at_once_share_one_fetch() -> None:
    issuer = Issuer()
    issuer.keys.append(signing_jwk(STRANGER.public_key()))
    issuer.open.clear()
    keyset = _keyset(issuer, FakeClock())
    first = _asking(keyset, 1)
    await asyncio.sleep(0.01)
    others = _asking(keyset, 20)
    await asyncio.sleep(0.01)
    issuer.open.set()
    await asyncio.gather(*first, *others)
    assert (issuer.asked, keyset.answered) == (1, True)
    assert keyset.get(thumbprint(STRANGER.public_key())).curve.name == "secp256r1"


@pytest.mark.parametrize(
    "away", [KeysUnavailableError("auth is away"), TimeoutError(), RuntimeError("a surprise")]
)
async def test_all_who_ask_at_once_are_told_that_keys_are_unavailable(away: Exception) -> None:
    issuer, clock = Issuer(), FakeClock()
    issuer.away = away
    keyset = _keyset(issuer, clock)
    told = await asyncio.gather(*_asking(keyset, 20), return_exceptions=True)
    assert [type(one) for one in told] == [KeysUnavailableError] * 20
    # One exception raised in twenty tasks would gather twenty tracebacks.
    assert len(set(map(id, told))) == 20
    # Who comes just after is told at once, not called a forger and not made to wait.
    with pytest.raises(KeysUnavailableError):
        await keyset.refresh()
    assert (issuer.asked, keyset.answered) == (1, False)
    issuer.away = None
    clock.advance(0.05)
    await keyset.refresh()
    assert (issuer.asked, keyset.answered, keyset.version) == (2, True, 1)


async def test_made_up_keys_cannot_hold_the_door_closed() -> None:
    issuer, clock = Issuer(), FakeClock()
    keyset = _keyset(issuer, clock)
    await keyset.refresh()
    issuer.keys = [signing_jwk(STRANGER.public_key())]
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*_asking(keyset, 20))
    assert asyncio.get_running_loop().time() - began >= 0.04
    assert issuer.asked == 2
    assert keyset.get(thumbprint(STRANGER.public_key())).curve.name == "secp256r1"


async def test_a_caller_who_gives_up_leaves_the_fetch_to_the_others() -> None:
    issuer = Issuer()
    issuer.open.clear()
    keyset = _keyset(issuer, FakeClock())
    gone, stays = _asking(keyset, 2)
    await asyncio.sleep(0.01)
    gone.cancel()
    issuer.open.set()
    await stays
    assert gone.cancelled()
    assert issuer.asked == 1


async def test_nobody_waits_longer_than_the_patience() -> None:
    issuer = Issuer()
    issuer.open.clear()
    keyset = _keyset(issuer, FakeClock(), patience=timedelta(seconds=0.05))
    told = await asyncio.gather(*_asking(keyset, 3), return_exceptions=True)
    assert [type(one) for one in told] == [KeysUnavailableError] * 3


async def test_an_answer_without_keys_leaves_the_known_ones() -> None:
    issuer = Issuer()
    issuer.keys = []
    keyset = _keyset(issuer, FakeClock())
    with pytest.raises(KeysUnavailableError):
        await keyset.refresh()
    assert len(keyset) == 1


async def test_keys_that_nobody_can_be_asked_for_are_all_there_are() -> None:
    await KeySet([signing_jwk(AUTH.public_key())]).refresh()
    with pytest.raises(ValueError, match="clock"):
        KeySet(refresh=Issuer())


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


def test_the_same_keys_again_are_no_news() -> None:
    keyset = KeySet([signing_jwk(key.public_key()) for key in (AUTH, STRANGER)])
    keyset.update(reversed(keyset.jwks()))
    assert keyset.version == 1
    keyset.update(keyset.jwks()[:1])
    assert (keyset.version, len(keyset)) == (2, 1)


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
