import base64
import dataclasses

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hadir.checkin.v1 import checkin_service_pb2, tap_pb2
from hadir.events.v1 import events_pb2
from ops.herd.course import Tap
from ops.herd.evidence import SignedTap
from ops.herd.phones import Phone
from ops.herd.receipts import check_receipts, public_key
from ops.herd.retry import Accepted, Refused
from ops.herd.wire import ProtobufRequest

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = {"k": KEY.public_key()}


def receipt_for(tap: SignedTap, phone: Phone, **changes: object) -> Accepted:
    facts: dict[str, object] = {
        "tap_id": tap.tap_id,
        "person_id": phone.person_id,
        "regency": "5202",
        "slot": tap_pb2.SLOT_IN,
        "work_date": "2026-11-23",
        "verdict": tap_pb2.VERDICT_LATE,
        "flags": [tap_pb2.FLAG_POOR_ACCURACY],
    }
    content = tap_pb2.ReceiptContent(**(facts | changes)).SerializeToString()  # type: ignore[arg-type]
    r, s = decode_dss_signature(KEY.sign(b"hadir.receipt.v1\0" + content, ec.ECDSA(hashes.SHA256())))
    return Accepted(content, r.to_bytes(32, "big") + s.to_bytes(32, "big"), "k")


@pytest.fixture(name="tap")
def make_tap(phone: Phone, signed: SignedTap) -> Tap:
    return Tap(phone=phone, signed=signed, press=0.0, renderer=ProtobufRequest(phone, signed), first=b"")


def test_good_receipts_are_counted_by_what_they_say(tap: Tap) -> None:
    good = dataclasses.replace(tap, answer=receipt_for(tap.signed, tap.phone))
    refused = dataclasses.replace(tap, answer=Refused("FORGED"))
    found = check_receipts([good, refused], KEYS)

    assert (found.valid, found.invalid, found.work_date) == (1, 0, "2026-11-23")
    assert found.people == {tap.phone.person_id}
    assert found.counting == {tap.phone.person_id: events_pb2.SLOT_RESULT_LATE}
    assert found.verdicts == {"VERDICT_LATE": 1}
    assert found.flags == {"FLAG_POOR_ACCURACY": 1}


@pytest.mark.parametrize(
    ("changes", "in_review"),
    [
        ({"verdict": tap_pb2.VERDICT_OUTSIDE_WINDOW}, False),
        ({"verdict": tap_pb2.VERDICT_NOT_A_WORKING_DAY}, False),
        ({"flags": [tap_pb2.FLAG_LONG_DELAY]}, True),
        ({"time_grade": tap_pb2.TIME_GRADE_CLAIMED}, True),
    ],
)
def test_who_need_not_be_present_on_the_board(tap: Tap, changes: dict[str, object], in_review: bool) -> None:
    found = check_receipts(
        [dataclasses.replace(tap, answer=receipt_for(tap.signed, tap.phone, **changes))], KEYS
    )

    assert found.people == {tap.phone.person_id}
    assert not found.counting
    assert bool(found.in_review) is in_review


def test_receipts_that_are_not_what_they_should_be(tap: Tap) -> None:
    good = receipt_for(tap.signed, tap.phone)
    bad = [
        dataclasses.replace(good, signature=good.signature[:-1] + bytes([good.signature[-1] ^ 1])),
        dataclasses.replace(good, signature=b""),
        dataclasses.replace(good, key_id="unknown"),
        dataclasses.replace(good, content=b"\xff"),
        receipt_for(tap.signed, tap.phone, person_id="somebody else"),
        receipt_for(tap.signed, tap.phone, slot=tap_pb2.SLOT_OUT),
        receipt_for(tap.signed, tap.phone, practice=True),
    ]
    found = check_receipts([dataclasses.replace(tap, answer=answer) for answer in bad], KEYS)

    assert (found.valid, found.invalid) == (0, len(bad))
    assert found.work_date == ""


def test_keys_come_as_jwk() -> None:
    numbers = KEYS["k"].public_numbers()
    x, y = (
        base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
        for number in (numbers.x, numbers.y)
    )
    key = checkin_service_pb2.ReceiptKey(kty="EC", crv="P-256", x=x, y=y, kid="k", alg="ES256", use="sig")

    assert public_key(key) == KEYS["k"]
