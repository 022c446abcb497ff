"""checkin's own keys: the receipt key that signs, the ones that signed before, and the anchors' HMAC keys."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.tokens import signing_jwk
from services.checkin.domain.anchor import AnchorKeys

# A rotation keeps the last few; anchors live for hours.
_MAX_ANCHOR_KEYS = 8


class KeyFileError(ValueError):
    """A key cannot be used; the message says which and why, and holds nothing of the key."""


def load_receipt_key(pem: str) -> ec.EllipticCurvePrivateKey:
    """The private receipt key. Raises KeyFileError when it is no P-256 key."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError("HADIR_RECEIPT_KEY holds no PEM private key without a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError("HADIR_RECEIPT_KEY is no P-256 key")
    return key


def load_retired_keys(folder: Path | None) -> Sequence[dict[str, str]]:
    """The JWKs of earlier receipts' keys, by file name, last first. Raises KeyFileError."""
    if folder is None:
        return []
    found = []
    for path in sorted(folder.glob("*.pem"), reverse=True):
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise KeyFileError(f"{path} holds no PEM public key") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise KeyFileError(f"{path} is no P-256 key")
        found.append(signing_jwk(key))
    return found


def load_anchor_keys(value: str) -> AnchorKeys:
    """The anchor keys of comma-separated hex, newest first. Raises KeyFileError.

    A key's number is derived from the key, so that replicas agree while a rotation rolls through them.
    """
    try:
        keys = [bytes.fromhex(part.strip()) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise KeyFileError("HADIR_ANCHOR_KEY is no hex") from error
    if not 1 <= len(keys) <= _MAX_ANCHOR_KEYS:
        raise KeyFileError(f"HADIR_ANCHOR_KEY needs 1 to {_MAX_ANCHOR_KEYS} keys")
    numbered = {hashlib.sha256(b"hadir.anchor.number\0" + key).digest()[0]: key for key in keys}
    if len(numbered) < len(keys):
        raise KeyFileError("two anchor keys have the same number: make the newest one again")
    try:
        return AnchorKeys(hashlib.sha256(b"hadir.anchor.number\0" + keys[0]).digest()[0], numbered)
    except ValueError as error:
        raise KeyFileError(f"HADIR_ANCHOR_KEY: {error}") from error
