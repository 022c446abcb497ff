"""One press of the button as a phone signs it: evidence, its bytes, its signature. Owner: herd.

Pure but for keys and ids.
"""

import math
import os
import random
import uuid
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from google.protobuf.timestamp_pb2 import Timestamp

from hadir.checkin.v1 import tap_pb2
from ops.herd.options import Slot
from ops.herd.phones import Phone

SIGNED_PREFIX = b"hadir.tap.v1\0"

SLOTS = {Slot.IN: tap_pb2.SLOT_IN, Slot.OUT: tap_pb2.SLOT_OUT}

_ECDSA = ec.ECDSA(hashes.SHA256())
_METRES_PER_DEGREE = 111_320.0

# What teachers' phones on Lombok report, roughly; no figure hangs on it.
_NETWORKS = (
    (0.80, tap_pb2.NETWORK_TYPE_CELLULAR_4G),
    (0.95, tap_pb2.NETWORK_TYPE_WIFI),
    (1.00, tap_pb2.NETWORK_TYPE_CELLULAR_3G),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """A school's circle: centre in degrees (WGS 84), radius in metres."""

    latitude: float
    longitude: float
    radius_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """A time anchor as the phone keeps it.

    Attributes:
        blob: opaque, from GetClock.
        session_id: the clock session it was asked for.
        wall: the phone's wall clock at its receipt, POSIX seconds.
        monotonic: the phone's monotonic clock at its receipt, seconds.
    """

    blob: bytes
    session_id: str
    wall: float
    monotonic: float


@dataclass(frozen=True, slots=True)
class SignedTap:
    """What never changes from one try to the next."""

    tap_id: str
    evidence: bytes
    signature: bytes


def uuid7(milliseconds: int) -> str:
    """A UUIDv7 (RFC 9562) of this POSIX time; its random bits are never seeded, since ids must differ between runs."""
    value = int.from_bytes(os.urandom(10), "big")
    random_a, random_b = value >> 62 & 0xFFF, value & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b))


def timestamp(seconds: float) -> Timestamp:
    """POSIX seconds as a message, to the millisecond, which is what a browser knows."""
    milliseconds = round(seconds * 1000)
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def sign_tap(
    phone: Phone,
    anchor: Anchor,
    fence: Fence | None,
    *,
    regency: str,
    slot: Slot,
    press_wall: float,
    press_monotonic: float,
    chance: random.Random,
) -> SignedTap:
    """The evidence of one press, signed by the phone's key.

    Args:
        phone: whose.
        anchor: the phone's link to the server's clock.
        fence: where the school is; None: the phone has no position (the tap is then flagged, not refused).
        regency: four digits.
        slot: check-in or check-out.
        press_wall: the phone's wall clock at the press, POSIX seconds.
        press_monotonic: its monotonic clock then, seconds.
        chance: of place and network.
    """
    evidence = tap_pb2.TapEvidence(
        tap_id=uuid7(round(press_wall * 1000)),
        person_id=phone.person_id,
        slot=SLOTS[slot],
        audience=regency,
        pressed_at=timestamp(press_wall),
        clock=tap_pb2.ClockReading(
            anchor=anchor.blob,
            clock_session_id=anchor.session_id,
            elapsed_ms=max(0, round((press_monotonic - anchor.monotonic) * 1000)),
            wall_at_anchor=timestamp(anchor.wall),
        ),
        network=_network(chance),
    )
    if fence is not None:
        evidence.location.CopyFrom(_position(fence, chance))
    data = evidence.SerializeToString()
    return SignedTap(evidence.tap_id, data, sign(phone.key.private, data))


def sign(key: ec.EllipticCurvePrivateKey, evidence: bytes) -> bytes:
    """The 64 bytes r||s that WebCrypto would give for `evidence`."""
    r, s = decode_dss_signature(key.sign(SIGNED_PREFIX + evidence, _ECDSA))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _position(fence: Fence, chance: random.Random) -> tap_pb2.Location:
    # Evenly over the inner half of the circle; what a browser cannot know (a mock provider) stays unset.
    distance = fence.radius_m * 0.5 * math.sqrt(chance.random())
    bearing = chance.uniform(0.0, 2 * math.pi)
    shrink = max(0.01, math.cos(math.radians(fence.latitude)))
    return tap_pb2.Location(
        latitude=fence.latitude + distance * math.cos(bearing) / _METRES_PER_DEGREE,
        longitude=fence.longitude + distance * math.sin(bearing) / (_METRES_PER_DEGREE * shrink),
        accuracy_m=round(chance.uniform(4.0, 25.0), 1),
        fix_age_ms=chance.randrange(0, 3000),
    )


def _network(chance: random.Random) -> tap_pb2.Network:
    drawn = chance.random()
    return tap_pb2.Network(type=next(kind for share, kind in _NETWORKS if drawn <= share))
