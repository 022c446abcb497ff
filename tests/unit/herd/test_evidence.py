import math
import random
import uuid

import protovalidate
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from hadir.checkin.v1 import tap_pb2
from ops.herd.evidence import Anchor, Fence, SignedTap, sign_tap, uuid7
from ops.herd.options import Slot
from ops.herd.phones import Phone


def verify(phone: Phone, tap: SignedTap) -> None:
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), phone.key.public_point)
    r, s = int.from_bytes(tap.signature[:32], "big"), int.from_bytes(tap.signature[32:], "big")
    point.verify(encode_dss_signature(r, s), b"hadir.tap.v1\0" + tap.evidence, ec.ECDSA(hashes.SHA256()))


def test_the_signature_is_64_bytes_and_is_the_phones_over_prefix_and_evidence(
    phone: Phone, signed: SignedTap
) -> None:
    assert len(signed.signature) == 64
    verify(phone, signed)


def test_another_evidence_is_not_signed_by_it(phone: Phone, signed: SignedTap) -> None:
    with pytest.raises(InvalidSignature):
        verify(phone, SignedTap(signed.tap_id, signed.evidence + b" ", signed.signature))


def test_the_evidence_says_who_when_and_how_long_after_the_anchor(
    phone: Phone, anchor: Anchor, signed: SignedTap
) -> None:
    evidence = tap_pb2.TapEvidence.FromString(signed.evidence)

    protovalidate.validate(evidence)
    assert evidence.tap_id == signed.tap_id
    assert evidence.person_id == phone.person_id
    assert evidence.slot == tap_pb2.SLOT_IN
    assert evidence.audience == "5202"
    assert not evidence.practice
    assert (evidence.pressed_at.seconds, evidence.pressed_at.nanos) == (1_763_000_060, 250_000_000)
    assert evidence.clock.anchor == anchor.blob
    assert evidence.clock.clock_session_id == anchor.session_id
    assert evidence.clock.elapsed_ms == 60_250


@given(seed=st.integers(), radius=st.floats(5, 5000))
def test_the_phone_stands_inside_the_schools_fence(seed: int, radius: float) -> None:
    phone, anchor = _anybody()
    fence = Fence(latitude=-8.7, longitude=116.27, radius_m=radius)
    tap = sign_tap(
        phone,
        anchor,
        fence,
        regency="5202",
        slot=Slot.OUT,
        press_wall=2.0,
        press_monotonic=2.0,
        chance=random.Random(seed),
    )
    location = tap_pb2.TapEvidence.FromString(tap.evidence).location

    north = math.radians(location.latitude - fence.latitude) * 6_371_000
    east = (
        math.radians(location.longitude - fence.longitude)
        * 6_371_000
        * math.cos(math.radians(fence.latitude))
    )
    assert math.hypot(north, east) <= radius
    assert not location.HasField("mock")


def test_without_a_fence_there_is_no_position() -> None:
    phone, anchor = _anybody()
    tap = sign_tap(
        phone,
        anchor,
        None,
        regency="5202",
        slot=Slot.OUT,
        press_wall=2.0,
        press_monotonic=2.0,
        chance=random.Random(1),
    )

    assert not tap_pb2.TapEvidence.FromString(tap.evidence).HasField("location")


@given(st.integers(0, 2**48 - 1))
def test_an_id_is_a_uuid7_of_its_time_and_never_comes_twice(milliseconds: int) -> None:
    first, second = uuid.UUID(uuid7(milliseconds)), uuid.UUID(uuid7(milliseconds))

    assert first != second
    assert first.version == 7
    assert first.variant == uuid.RFC_4122
    assert first.int >> 80 == milliseconds


def _anybody() -> tuple[Phone, Anchor]:
    from ops.herd.phones import PhoneKey

    phone = Phone(
        person_id=str(uuid.uuid4()),
        device_id=str(uuid.uuid4()),
        key=PhoneKey.make(),
        certificate="c",
        not_after=1.0,
    )
    return phone, Anchor(blob=b"a", session_id=str(uuid.uuid4()), wall=1.0, monotonic=1.0)
