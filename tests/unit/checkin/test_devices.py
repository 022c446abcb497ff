"""The cache of verified devices: bounded, and no longer-lived than auth's keys."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.tokens import KeySet, TokenVerifier, device_claims, issue, signing_jwk
from services.checkin.adapters.devices import DeviceCache
from services.checkin.domain.errors import CertificateInvalidError
from tests.fakes.clock import FakeClock

CLOCK = FakeClock()


def certificate(signer: ec.EllipticCurvePrivateKey) -> str:
    device = ec.generate_private_key(ec.SECP256R1())
    return issue(
        signer,
        kind="device",
        subject=str(uuid4()),
        regency="5202",
        now=CLOCK.now(),
        lifetime=timedelta(days=1),
        claims=device_claims(device_id=str(uuid4()), school="50203000", key=device.public_key()),
    )


async def test_a_withdrawn_key_takes_its_certificates_along() -> None:
    old, new = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    keyset = KeySet([signing_jwk(old.public_key()), signing_jwk(new.public_key())])
    cache = DeviceCache(TokenVerifier(keyset=keyset, regency="5202", clock=CLOCK), capacity=10)
    by_old, by_new = certificate(old), certificate(new)
    for each in (by_old, by_new):
        assert isinstance((await cache.learn(each)).device_id, UUID)
        assert cache.known(each) is not None
    keyset.update([signing_jwk(new.public_key())])
    assert cache.known(by_old) is None
    assert cache.known(by_new) is not None
    with pytest.raises(CertificateInvalidError):
        await cache.learn(by_old)


async def test_the_least_recently_used_goes_first() -> None:
    signer = ec.generate_private_key(ec.SECP256R1())
    keyset = KeySet([signing_jwk(signer.public_key())])
    cache = DeviceCache(TokenVerifier(keyset=keyset, regency="5202", clock=CLOCK), capacity=2)
    first, second, third = (certificate(signer) for _ in range(3))
    await cache.learn(first)
    await cache.learn(second)
    assert cache.known(first) is not None
    await cache.learn(third)
    assert cache.known(second) is None
    assert cache.known(first) is not None
    assert cache.sizes() == (2, 0)
