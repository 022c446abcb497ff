"""Enroll, with each way to be refused, races, and what follows in the outbox."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chassis.keys import KeySet
from chassis.tokens import TokenVerifier
from hadir.auth.v1 import auth_service_pb2 as pb
from hadir.auth.v1 import people_pb2
from hadir.auth.v1 import roster_service_pb2 as roster_pb
from hadir.events.v1 import events_pb2
from tests.integration.auth.world import PEOPLE, REGENCY, Auth, Phone, reason, refused


async def test_a_code_binds_a_device_and_the_certificate_says_whose(peopled: Auth) -> None:
    code = (await peopled.codes())[PEOPLE[0][0]]
    phone = Phone.new()
    typed = code.code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    answer = await peopled.auth.Enroll(
        pb.EnrollRequest(activation_code=typed, nip="19800101 200501 1 001", public_key=phone.spki)
    )
    assert answer.regency == REGENCY
    assert answer.name == "Ahmad Satu"
    verifier = TokenVerifier(keyset=KeySet(peopled.keys.jwks), regency=REGENCY, clock=peopled.clock)
    certificate = verifier.certificate(answer.device_certificate)
    assert certificate.person_id == answer.person_id == code.person_id
    assert certificate.device_id == answer.device_id
    assert certificate.school == "50203000"
    assert certificate.public_key == phone.key.public_key()
    assert jwt.get_unverified_header(answer.device_certificate)["kid"] == peopled.keys.key_id
    assert certificate.not_after == answer.not_after.ToDatetime(UTC)
    now = peopled.clock.now()
    assert timedelta(days=56) - timedelta(minutes=1) <= certificate.not_after - now <= timedelta(days=63)
    assert now < answer.renew_after.ToDatetime(UTC) < certificate.not_after
    [event] = await peopled.outbox("DeviceChanged")
    device = events_pb2.DeviceChanged.FromString(event).device
    assert (device.device_id, device.person_id, device.version) == (answer.device_id, answer.person_id, 1)
    assert device.status == people_pb2.DEVICE_STATUS_ACTIVE
    assert device.public_key == b""


async def test_the_same_code_and_key_get_their_device_again_even_after_the_code_expired(
    peopled: Auth,
) -> None:
    code = (await peopled.codes())[PEOPLE[0][0]]
    phone = Phone.new()
    first = await peopled.enroll(code, phone)
    peopled.clock.added = timedelta(days=31)
    again = await peopled.enroll(code, phone)
    assert again.device_id == first.device_id
    assert len(await peopled.outbox("DeviceChanged")) == 1


async def test_each_refusal_has_its_reason(peopled: Auth) -> None:
    codes = await peopled.codes()
    mine, other = codes[PEOPLE[0][0]], codes[PEOPLE[1][0]]
    phone = Phone.new()
    unknown = type(mine)(code="0000-0000-0000-0000", nip=mine.nip)
    assert await refused(peopled.enroll(unknown, phone)) == "ACTIVATION_CODE_INVALID"
    assert (
        await refused(peopled.enroll(type(mine)(code="ABCD-EFGU!", nip="1"), phone))
        == "ACTIVATION_CODE_INVALID"
    )
    assert await refused(peopled.enroll(mine, phone, nip=other.nip)) == "ACTIVATION_CODE_INVALID"
    await peopled.enroll(mine, phone)
    assert await refused(peopled.enroll(mine, Phone.new())) == "ACTIVATION_CODE_USED"
    assert await refused(peopled.enroll(other, phone)) == "KEY_ALREADY_BOUND"
    peopled.clock.added = timedelta(days=30, seconds=1)
    assert await refused(peopled.enroll(other, Phone.new())) == "ACTIVATION_CODE_EXPIRED"


async def test_a_second_device_waits_for_the_operator(peopled: Auth) -> None:
    mine = (await peopled.codes())[PEOPLE[0][0]]
    await peopled.enroll(mine, Phone.new())
    # No operator can make such a code; a clerk at the database can.
    await peopled.administrator.execute(
        "INSERT INTO auth.activation_codes (regency, digest, person_id, issued_at, issued_by, expires_at) "
        "SELECT '5202', sha256('0000000000000001'::bytea), $1, now(), 'test', now() + interval '1 day'",
        mine.person_id,
    )
    extra = type(mine)(code="0000-0000-0000-000l", nip=mine.nip)
    assert await refused(peopled.enroll(extra, Phone.new())) == "DEVICE_ALREADY_BOUND"


async def test_a_newer_code_voids_the_older(peopled: Auth) -> None:
    old = (await peopled.codes())[PEOPLE[0][0]]
    new = (await peopled.codes())[PEOPLE[0][0]]
    phone = Phone.new()
    assert await refused(peopled.enroll(old, phone)) == "ACTIVATION_CODE_INVALID"
    await peopled.enroll(new, phone)


async def test_ten_wrong_numbers_void_a_code_that_somebody_found(peopled: Auth) -> None:
    codes = await peopled.codes()
    mine = codes[PEOPLE[0][0]]
    for _ in range(10):
        assert (
            await refused(peopled.enroll(mine, Phone.new(), nip="198001012005011999"))
            == "ACTIVATION_CODE_INVALID"
        )
    assert await refused(peopled.enroll(mine, Phone.new())) == "ACTIVATION_CODE_INVALID"
    await peopled.enroll(codes[PEOPLE[1][0]], Phone.new())


def _spki(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _compressed_spki() -> bytes:
    point = (
        Phone.new()
        .key.public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    )
    return point.ljust(65, b"\0")


@pytest.mark.parametrize(
    "key",
    [
        b"\x04" + bytes(64),
        b"\x04" + b"\xff" * 64,
        bytes(65),
        bytes(200),
        _spki(ec.generate_private_key(ec.SECP384R1())),
        _spki(ec.generate_private_key(ec.SECP256K1())),
        _compressed_spki(),
        Phone.new().spki + b"\0",
    ],
)
async def test_a_key_that_is_none_is_refused_and_uses_up_nothing(peopled: Auth, key: bytes) -> None:
    code = (await peopled.codes())[PEOPLE[0][0]]
    request = pb.EnrollRequest(activation_code=code.code, nip=code.nip, public_key=key)
    assert await refused(peopled.auth.Enroll(request)) == "KEY_INVALID"
    await peopled.enroll(code, Phone.new())


async def test_of_two_phones_with_one_code_exactly_one_wins(peopled: Auth) -> None:
    code = (await peopled.codes())[PEOPLE[0][0]]
    answers = await asyncio.gather(
        *(peopled.enroll(code, Phone.new()) for _ in range(8)), return_exceptions=True
    )
    errors = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(errors) == 7
    assert {reason(error) for error in errors} == {"ACTIVATION_CODE_USED"}
    assert await peopled.administrator.fetchval("SELECT count(*) FROM auth.devices") == 1
    assert len(await peopled.outbox("DeviceChanged")) == 1


async def test_one_phone_that_asks_eight_times_at_once_gets_one_device(peopled: Auth) -> None:
    code = (await peopled.codes())[PEOPLE[0][0]]
    phone = Phone.new()
    answers = await asyncio.gather(*(peopled.enroll(code, phone) for _ in range(8)))
    assert len({answer.device_id for answer in answers}) == 1
    assert len(await peopled.outbox("DeviceChanged")) == 1


async def test_one_phone_for_two_people_at_once_is_bound_once(peopled: Auth) -> None:
    codes = await peopled.codes()
    phone = Phone.new()
    answers = await asyncio.gather(
        *(peopled.enroll(code, phone) for code in codes.values()), return_exceptions=True
    )
    [error] = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert reason(error) == "KEY_ALREADY_BOUND"


async def test_an_enrolment_and_a_replacement_at_once_end_as_if_one_came_first(peopled: Auth) -> None:
    for _ in range(10):
        code = (await peopled.codes(0))[PEOPLE[0][0]]
        request = roster_pb.ReplaceDeviceRequest(person_id=code.person_id, reason="lost")
        enrolled, replaced = await asyncio.gather(
            peopled.enroll(code, Phone.new()),
            peopled.roster.ReplaceDevice(request, metadata=peopled.staff()),
            return_exceptions=True,
        )
        assert not isinstance(replaced, BaseException)
        active = await peopled.administrator.fetchval(
            "SELECT count(*) FROM auth.devices WHERE revoked_at IS NULL"
        )
        assert active == 0
        assert replaced.HasField("revoked") == (not isinstance(enrolled, BaseException))


async def test_a_struck_off_person_cannot_enroll(peopled: Auth) -> None:
    code = (await peopled.codes())[PEOPLE[0][0]]
    await peopled.administrator.execute("UPDATE auth.people SET active = false")
    assert await refused(peopled.enroll(code, Phone.new())) == "PERSON_INACTIVE"


async def test_times_on_file_are_the_deployments(peopled: Auth) -> None:
    peopled.clock.added = timedelta(days=5)
    code = (await peopled.codes())[PEOPLE[0][0]]
    await peopled.enroll(code, Phone.new())
    enrolled: datetime = await peopled.administrator.fetchval("SELECT enrolled_at FROM auth.devices")
    assert abs(enrolled - peopled.clock.now()) < timedelta(minutes=1)
