"""Device keys: what is read as one, and signatures in both forms."""

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from services.auth.adapters.crypto import DeviceKeys
from services.auth.domain.errors import KeyInvalidError

KEY = ec.generate_private_key(ec.SECP256R1())
POINT = KEY.public_key().public_bytes(
    serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
)
SPKI = KEY.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
KEYS = DeviceKeys()


def test_both_encodings_are_one_key() -> None:
    assert KEYS.read(POINT) == KEYS.read(SPKI) == POINT


@given(st.binary(min_size=60, max_size=130))
def test_any_bytes_are_a_key_or_a_typed_refusal(encoded: bytes) -> None:
    with pytest.raises(KeyInvalidError):
        KEYS.read(encoded)


@given(st.integers(0, len(SPKI) - 1), st.integers(1, 255))
def test_a_damaged_key_is_another_key_or_a_typed_refusal(place: int, flip: int) -> None:
    damaged = bytearray(SPKI)
    damaged[place] ^= flip
    try:
        read = KEYS.read(bytes(damaged))
    except KeyInvalidError:
        return
    assert len(read) == 65


@settings(max_examples=30)
@given(st.binary(max_size=100), st.binary(min_size=1, max_size=100))
def test_signatures_in_either_form(message: bytes, other: bytes) -> None:
    der = KEY.sign(message, ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    raw = r.to_bytes(32) + s.to_bytes(32)
    for signature in (der, raw):
        assert KEYS.verify(POINT, signature, message)
        assert not KEYS.verify(POINT, signature, message + other)


@given(st.binary(min_size=8, max_size=72))
def test_any_bytes_are_no_signature(signature: bytes) -> None:
    assert not KEYS.verify(POINT, signature, b"message")
