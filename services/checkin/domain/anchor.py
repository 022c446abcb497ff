"""The signed time anchor: server time, bound to a device and a clock session by an HMAC.

Layout, 42 bytes: version (1) | key number (1) | Unix microseconds (8, big endian) | tag (32: HMAC-SHA-256, truncated to
no less than its full length). The device and session are under the tag but not in the anchor: the tap names them. A tap
with an anchor made for another device simply has a forged one.
"""

import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD = struct.Struct(">BBq")
_VERSION = 1
_CONTEXT = b"hadir.anchor.v1\0"
LENGTH = _HEAD.size + 32


@dataclass(frozen=True, slots=True)
class AnchorKeys:
    """HMAC keys by number (0-255). New anchors use current; the others are still believed (rotation)."""

    current: int
    keys: Mapping[int, bytes]

    def __post_init__(self) -> None:
        """Refuse a set without its current key, or with a key shorter than the hash."""
        if self.current not in self.keys:
            raise ValueError("the current anchor key is not among the keys")
        if any(len(key) < 32 for key in self.keys.values()):
            raise ValueError("an anchor key needs at least 32 bytes")


def _tag(key: bytes, head: bytes, device_id: UUID, clock_session_id: UUID) -> bytes:
    return hmac.digest(key, _CONTEXT + head + device_id.bytes + clock_session_id.bytes, sha256)


def issue(keys: AnchorKeys, now: datetime, device_id: UUID, clock_session_id: UUID) -> bytes:
    """An anchor for now (aware, to the microsecond)."""
    head = _HEAD.pack(_VERSION, keys.current, (now - _EPOCH) // timedelta(microseconds=1))
    return head + _tag(keys.keys[keys.current], head, device_id, clock_session_id)


def verify(keys: AnchorKeys, anchor: bytes, device_id: UUID, clock_session_id: UUID) -> datetime | None:
    """The anchor's server time; None when it was not made by these keys for this device and session."""
    if len(anchor) != LENGTH:
        return None
    version, number, microseconds = _HEAD.unpack_from(anchor)
    key = keys.keys.get(number)
    if version != _VERSION or key is None:
        return None
    expected = _tag(key, anchor[: _HEAD.size], device_id, clock_session_id)
    if not hmac.compare_digest(expected, anchor[_HEAD.size :]):
        return None
    return _EPOCH + timedelta(microseconds=microseconds)
