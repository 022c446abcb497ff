"""Taps that are wrong: each a typed error in the caller's words, or a flag; the process lives on."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.json_format import MessageToJson

from chassis import tokens
from chassis.wire import timestamp
from hadir.auth.v1 import roster_service_pb2
from hadir.checkin.v1 import checkin_service_pb2, checkin_service_pb2_grpc, tap_pb2
from ops.stack.stack import Stack
from tests.integration.wire.conftest import Doors
from tests.office import TAP_CONTEXT, Office, Phone, http_call, refused, uuid7

SERVICE = "/hadir.checkin.v1.CheckinService/"
NOW_TOLERANCE = timedelta(seconds=15)


def content_of(answer: checkin_service_pb2.SubmitTapResponse) -> tap_pb2.ReceiptContent:
    return tap_pb2.ReceiptContent.FromString(answer.receipt.content)


def flags_of(answer: checkin_service_pb2.SubmitTapResponse) -> set[int]:
    # The roster's event may be a moment behind the enrolment; that flag is another test's.
    return {int(flag) for flag in content_of(answer).flags} - {tap_pb2.FLAG_PERSON_UNKNOWN}


async def test_both_signature_forms_are_accepted(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    for der in (False, True):
        data = phone.evidence()
        answer = await doors.edge.SubmitTap(
            phone.submit(data, signature=phone.sign(TAP_CONTEXT + data, der=der))
        )
        assert not answer.duplicate
        assert content_of(answer).time_grade == tap_pb2.TIME_GRADE_ARRIVAL


@pytest.mark.parametrize("door", ["edge", "first"])
async def test_forgeries_are_refused_by_name(office: Office, doors: Doors, door: str) -> None:
    stub = getattr(doors, door)
    phone, other = await office.phone(), await office.phone()
    stranger = ec.generate_private_key(ec.SECP256R1())
    data = phone.evidence()
    wrong_key = Phone(**{**vars(phone), "key": stranger})
    cases = [
        (phone.submit(signature=b""), "INVALID_ARGUMENT", "INVALID_FIELDS"),
        (phone.submit(signature=b"\0" * 64), "UNAUTHENTICATED", "SIGNATURE_INVALID"),
        (phone.submit(signature=b"\x30\x06\x02\x01\x01\x02\x01\x01"), "UNAUTHENTICATED", "SIGNATURE_INVALID"),
        (phone.submit(signature=phone.sign(data)), "UNAUTHENTICATED", "SIGNATURE_INVALID"),
        (wrong_key.submit(), "UNAUTHENTICATED", "SIGNATURE_INVALID"),
        (phone.submit(device_certificate=other.certificate), "UNAUTHENTICATED", "SIGNATURE_INVALID"),
        (phone.submit(phone.evidence(person_id=other.person_id)), "PERMISSION_DENIED", "WRONG_PERSON"),
        (phone.submit(phone.evidence(audience="3305")), "PERMISSION_DENIED", "WRONG_REGENCY"),
        (phone.submit(device_certificate="no.jwt.atall"), "UNAUTHENTICATED", "CERTIFICATE_INVALID"),
        (
            phone.submit(device_certificate=office.target.staff_token()),
            "UNAUTHENTICATED",
            "CERTIFICATE_INVALID",
        ),
        (phone.submit(b"\xff\xff\xff\xff"), "INVALID_ARGUMENT", "EVIDENCE_MALFORMED"),
        (phone.submit(b"\x0a\x02\xc3\x28"), "INVALID_ARGUMENT", "EVIDENCE_MALFORMED"),
        (phone.submit(phone.evidence(tap_id="1")), "INVALID_ARGUMENT", "INVALID_FIELDS"),
        (phone.submit(phone.evidence(slot=0)), "INVALID_ARGUMENT", "INVALID_FIELDS"),
        (phone.submit(phone.evidence(slot=7)), "INVALID_ARGUMENT", "INVALID_FIELDS"),
    ]
    for request, code, reason in cases:
        refusal = await refused(stub.SubmitTap(request))
        assert (refusal.code, refusal.reason) == (code, reason)
    assert not (await stub.SubmitTap(phone.submit())).duplicate


@pytest.mark.parametrize(
    "location",
    [
        tap_pb2.Location(latitude=91, longitude=0),
        tap_pb2.Location(latitude=0, longitude=-180.5),
        tap_pb2.Location(latitude=float("nan"), longitude=0),
        tap_pb2.Location(latitude=float("inf"), longitude=0),
        tap_pb2.Location(latitude=0, longitude=0, accuracy_m=-1),
    ],
)
async def test_impossible_coordinates_are_refused_with_their_field(
    office: Office, doors: Doors, location: tap_pb2.Location
) -> None:
    phone = await office.phone()
    refusal = await refused(doors.edge.SubmitTap(phone.submit(phone.evidence(location=location))))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_FIELDS")
    assert refusal.fields[0].startswith("location.")


async def test_a_certificate_of_another_regency_or_issuer_is_refused(
    office: Office, doors: Doors, system: Stack
) -> None:
    phone = await office.phone()
    pem = system.layout.secret("auth-signing-key.pem").read_bytes()
    signer = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)

    def certificate(key: ec.EllipticCurvePrivateKey, regency: str, now: datetime) -> str:
        claims = tokens.device_claims(
            device_id=phone.device_id, school="50203000", key=phone.key.public_key()
        )
        return tokens.issue(
            key,
            kind="device",
            subject=phone.person_id,
            regency=regency,
            now=now,
            lifetime=timedelta(days=1),
            claims=claims,
        )

    now = datetime.now(UTC)
    other_regency = await refused(
        doors.first.SubmitTap(phone.submit(device_certificate=certificate(signer, "3305", now)))
    )
    assert other_regency.reason == "WRONG_REGENCY"
    forger = ec.generate_private_key(ec.SECP256R1())
    forged = await refused(
        doors.first.SubmitTap(phone.submit(device_certificate=certificate(forger, "5202", now)))
    )
    assert forged.reason == "CERTIFICATE_INVALID"

    ended = certificate(signer, "5202", now - timedelta(days=2))
    expired = await refused(doors.first.SubmitTap(phone.submit(device_certificate=ended)))
    assert (expired.code, expired.reason) == ("UNAUTHENTICATED", "CERTIFICATE_EXPIRED")
    before = now - timedelta(days=1, hours=12)
    late = await doors.first.SubmitTap(
        phone.submit(
            phone.evidence(before),
            device_certificate=ended,
            transport=tap_pb2.Transport(attempt=3, queued_ms=36 * 3_600_000, sent_at=timestamp(now)),
        )
    )
    assert content_of(late).time_grade == tap_pb2.TIME_GRADE_CLAIMED


async def until_revoked(stub: checkin_service_pb2_grpc.CheckinServiceStub, phone: Phone) -> str:
    """Why the phone's taps are refused once the revocation has reached the replica; "" when it never does."""
    for _ in range(100):
        try:
            await stub.SubmitTap(phone.submit())
        except grpc.aio.AioRpcError:
            return (await refused(stub.SubmitTap(phone.submit()))).reason
        await asyncio.sleep(0.1)
    return ""


async def test_a_revoked_device_is_refused_and_its_claim_from_before_is_kept_for_review(
    office: Office, doors: Doors
) -> None:
    phone = await office.phone()
    before = datetime.now(UTC)
    acknowledged = phone.submit()
    receipt = (await doors.edge.SubmitTap(acknowledged)).receipt
    day = checkin_service_pb2.GetMyDayRequest()
    await doors.edge.GetMyDay(day, metadata=phone.credentials(f"{SERVICE}GetMyDay"))
    replaced = await office.roster.ReplaceDevice(
        roster_service_pb2.ReplaceDeviceRequest(person_id=phone.person_id, reason="HP hilang"),
        metadata=office.staff,
    )
    assert replaced.revoked.device_id == phone.device_id
    for stub in (doors.first, doors.second):
        assert await until_revoked(stub, phone) == "DEVICE_REVOKED"
    claim = phone.submit(
        phone.evidence(before - timedelta(hours=2)),
        transport=tap_pb2.Transport(attempt=2, queued_ms=7_200_000, sent_at=timestamp(datetime.now(UTC))),
    )
    answer = await doors.edge.SubmitTap(claim)
    assert tap_pb2.FLAG_DEVICE_REVOKED_SINCE in flags_of(answer)
    # What was acknowledged stays so, also when only the phone's copy was lost; its owner's record is closed to it.
    again = await doors.second.SubmitTap(acknowledged)
    assert (again.receipt, again.duplicate) == (receipt, True)
    closed = await refused(doors.first.GetMyDay(day, metadata=phone.credentials(f"{SERVICE}GetMyDay")))
    assert (closed.code, closed.reason) == ("PERMISSION_DENIED", "DEVICE_REVOKED")
    successor = await office.enroll(replaced.code)
    assert successor.person_id == phone.person_id
    assert not (await doors.edge.SubmitTap(successor.submit())).duplicate


async def test_a_tap_id_is_taken_once(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    tap_id = str(uuid7(datetime.now(UTC)))
    request = phone.submit(phone.evidence(tap_id=tap_id))
    first = await doors.first.SubmitTap(request)
    again = await doors.second.SubmitTap(request)
    other_signature = await doors.edge.SubmitTap(
        phone.submit(request.tap.evidence, transport=tap_pb2.Transport(attempt=2, queued_ms=900))
    )
    assert first.receipt == again.receipt == other_signature.receipt
    assert (first.duplicate, again.duplicate, other_signature.duplicate) == (False, True, True)
    for stub in (doors.edge, doors.second):
        refusal = await refused(stub.SubmitTap(phone.submit(phone.evidence(tap_id=tap_id, practice=True))))
        assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "TAP_ID_REUSED")


async def test_a_forged_anchor_has_no_effect_and_is_flagged(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    clock = await doors.edge.GetClock(
        checkin_service_pb2.GetClockRequest(device_id=phone.device_id, clock_session_id=phone.session)
    )
    for anchor in (clock.anchor[:-1] + bytes([clock.anchor[-1] ^ 1]), b"forged", clock.anchor[::-1]):
        reading = tap_pb2.ClockReading(anchor=anchor, clock_session_id=phone.session, elapsed_ms=0)
        answer = await doors.edge.SubmitTap(phone.submit(phone.evidence(clock=reading)))
        assert tap_pb2.FLAG_ANCHOR_FORGED in flags_of(answer)
        assert content_of(answer).time_grade == tap_pb2.TIME_GRADE_ARRIVAL
    true = tap_pb2.ClockReading(anchor=clock.anchor, clock_session_id=phone.session, elapsed_ms=1)
    answer = await doors.edge.SubmitTap(phone.submit(phone.evidence(clock=true)))
    assert content_of(answer).time_grade == tap_pb2.TIME_GRADE_ANCHORED
    assert not flags_of(answer)


async def test_a_forged_arrival_has_no_effect(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    forged = (("x-hadir-arrival", str(int(hour_ago.timestamp() * 1_000_000))),)
    direct = await doors.first.SubmitTap(phone.submit(), metadata=forged)
    assert tap_pb2.FLAG_ARRIVAL_HEADER_IGNORED in flags_of(direct)
    edge = await doors.edge.SubmitTap(phone.submit(), metadata=forged)
    assert not flags_of(edge)
    for answer in (direct, edge):
        assert abs(content_of(answer).arrival_time.ToDatetime(UTC) - datetime.now(UTC)) < NOW_TOLERANCE


@pytest.mark.parametrize(
    ("moment", "tap_id", "expected"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), None, set()),
        (datetime(9999, 12, 31, tzinfo=UTC), None, {tap_pb2.FLAG_CLAIM_AFTER_ARRIVAL}),
        (None, str(uuid7(datetime(2090, 1, 1, tzinfo=UTC))), {tap_pb2.FLAG_TAP_ID_FROM_FUTURE}),
        (None, str(uuid4()), {tap_pb2.FLAG_TAP_ID_TIME_WILD}),
    ],
)
async def test_wild_clocks_and_ids_are_flags_and_no_refusals(
    office: Office, doors: Doors, moment: datetime | None, tap_id: str | None, expected: set[int]
) -> None:
    phone = await office.phone()
    changes: dict[str, Any] = {"tap_id": tap_id or str(uuid7(datetime.now(UTC)))}
    if moment is not None:
        changes["pressed_at"] = timestamp(moment)
    data = phone.evidence(**changes)
    answer = await doors.edge.SubmitTap(phone.submit(data))
    assert expected <= flags_of(answer)
    assert (await doors.second.SubmitTap(phone.submit(data))).receipt == answer.receipt


async def test_a_batch_has_a_result_for_each_tap(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    good, bad, broken = phone.tap(), phone.tap(signature=b"\0" * 64), tap_pb2.Tap()
    answer = await doors.edge.SubmitTaps(
        checkin_service_pb2.SubmitTapsRequest(taps=[good, bad, good, broken, phone.tap()])
    )
    kinds = [result.WhichOneof("outcome") for result in answer.results]
    assert kinds == ["accepted", "error", "accepted", "error", "accepted"]
    assert answer.results[0].accepted.receipt == answer.results[2].accepted.receipt
    assert answer.results[2].accepted.duplicate
    too_many = checkin_service_pb2.SubmitTapsRequest(taps=[tap_pb2.Tap()] * 501)
    assert (await refused(doors.edge.SubmitTaps(too_many))).reason == "INVALID_FIELDS"


async def test_json_takes_the_same_tap(office: Office, doors: Doors, system: Stack) -> None:
    phone = await office.phone()
    request = phone.submit()
    body = MessageToJson(request).encode()
    edge = system.target.edge
    assert edge is not None
    answer = await http_call(edge, "POST", "/v1/taps", body)
    assert answer.status == 200, answer.body
    assert not answer.json()["duplicate"]
    again = await doors.first.SubmitTap(request)
    assert again.duplicate
    refusal = (
        await http_call(edge, "POST", "/v1/taps", MessageToJson(phone.submit(signature=b"\0" * 64)).encode())
    ).refusal()
    assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", "SIGNATURE_INVALID")
