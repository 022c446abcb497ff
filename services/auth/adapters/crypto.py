"""Device keys on P-256 and the system's randomness. Owner: auth."""

import secrets

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from services.auth.domain.errors import KeyInvalidError

POINT_BYTES = 65
_RAW_SIGNATURE_BYTES = 64


class SystemEntropy:
    """The system's random source."""

    def bytes(self, count: int) -> bytes:
        """That many random bytes."""
        return secrets.token_bytes(count)


class DeviceKeys:
    """Reads device keys and verifies by them."""

    def read(self, encoded: bytes) -> bytes:
        """The uncompressed point of a key given as such (SEC 1) or as SubjectPublicKeyInfo (DER).

        Raises:
            KeyInvalidError: neither, another curve, or no point of the curve.
        """
        if len(encoded) == POINT_BYTES and encoded[0] == 0x04:
            return _point(load_point(encoded))
        try:
            key = serialization.load_der_public_key(encoded)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyInvalidError(problem="encoding") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise KeyInvalidError(problem="curve")
        return _point(key)

    def verify(self, public_key: bytes, signature: bytes, message: bytes) -> bool:
        """Whether an ECDSA signature with SHA-256, r||s or DER, over the message is by the key."""
        key = load_point(public_key)
        candidates = [signature]
        if len(signature) == _RAW_SIGNATURE_BYTES:
            half = _RAW_SIGNATURE_BYTES // 2
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            # A DER signature can have 64 bytes too, with numbers of six leading zero bytes: both readings count.
            candidates.insert(0, encode_dss_signature(r, s))
        return any(_verifies(key, candidate, message) for candidate in candidates)


def load_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """The key of an uncompressed point.

    Raises:
        KeyInvalidError: not on the curve.
    """
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise KeyInvalidError(problem="point") from None


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _verifies(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
