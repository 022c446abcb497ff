import random
import time
import uuid

import pytest

from ops.herd.evidence import Anchor, Fence, SignedTap, sign_tap
from ops.herd.options import Slot
from ops.herd.phones import Phone, PhoneKey


@pytest.fixture
def phone() -> Phone:
    return Phone(
        person_id=str(uuid.uuid4()),
        device_id=str(uuid.uuid4()),
        key=PhoneKey.make(),
        certificate="header.payload.signature",
        not_after=time.time() + 1e6,
    )


@pytest.fixture
def anchor() -> Anchor:
    return Anchor(blob=b"anchor", session_id=str(uuid.uuid4()), wall=1_763_000_000.0, monotonic=100.0)


@pytest.fixture
def fence() -> Fence:
    return Fence(latitude=-8.7, longitude=116.27, radius_m=100.0)


@pytest.fixture
def signed(phone: Phone, anchor: Anchor, fence: Fence) -> SignedTap:
    return sign_tap(
        phone,
        anchor,
        fence,
        regency="5202",
        slot=Slot.IN,
        press_wall=1_763_000_060.25,
        press_monotonic=160.25,
        chance=random.Random(1),
    )
