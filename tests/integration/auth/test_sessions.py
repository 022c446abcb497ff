"""Challenges, SignIn, renewal and public keys."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from chassis.keys import KeySet
from chassis.tokens import TokenVerifier, make_proof
from hadir.auth.v1 import auth_service_pb2 as pb
from hadir.auth.v1 import roster_service_pb2 as roster_pb
from services.auth.adapters.session_store import PostgresSessionStore
from services.auth.application.sessions import PurgeChallenges
from services.auth.domain.units import Role
from tests.integration.auth.world import PEOPLE, REGENCY, Auth, Phone, refused

RENEW = "/hadir.auth.v1.AuthService/RenewCertificate"


async def enrolled(world: Auth, place: int = 0) -> Phone:
    nip, _, npsn, _ = PEOPLE[place]
    phone = Phone.new()
    await world.enroll((await world.codes(0 if npsn == "50203000" else 1))[nip], phone)
    return phone


def device_id(phone: Phone) -> str:
    assert phone.answer is not None
    return phone.answer.device_id


async def challenge(world: Auth, phone: Phone) -> bytes:
    return (await world.auth.CreateChallenge(pb.CreateChallengeRequest(device_id=device_id(phone)))).challenge


def sign(phone: Phone, message: bytes, *, raw: bool = True) -> bytes:
    der = phone.key.sign(message, ec.ECDSA(hashes.SHA256()))
    if not raw:
        return der
    r, s = decode_dss_signature(der)
    return r.to_bytes(32) + s.to_bytes(32)


def sign_in(phone: Phone, given: bytes, signature: bytes | None = None) -> pb.SignInRequest:
    assert phone.answer is not None
    return pb.SignInRequest(
        device_certificate=phone.answer.device_certificate,
        challenge=given,
        signature=signature or sign(phone, b"hadir.signin.v1\0" + given),
    )


def proof(world: Auth, phone: Phone) -> tuple[tuple[str, str], ...]:
    assert phone.answer is not None
    token = phone.answer.device_certificate
    made = make_proof(phone.key, method=RENEW, token=token, now=world.clock.now())
    return (("authorization", f"DPoP {token}"), ("dpop", made))


@pytest.mark.parametrize("raw", [True, False])
async def test_a_teacher_signs_in_by_either_form_of_signature(peopled: Auth, raw: bool) -> None:
    phone = await enrolled(peopled)
    given = await challenge(peopled, phone)
    assert len(given) == 32
    answer = await peopled.auth.SignIn(
        sign_in(phone, given, sign(phone, b"hadir.signin.v1\0" + given, raw=raw))
    )
    assert list(answer.tokens.roles) == ["teacher"]
    assert answer.tokens.unit == "school:50203000"
    assert answer.tokens.refresh_token == ""
    verifier = TokenVerifier(keyset=KeySet(peopled.keys.jwks), regency=REGENCY, clock=peopled.clock)
    who = verifier.verify_bearer(answer.tokens.access_token)
    assert phone.answer is not None
    assert (who.subject, who.unit) == (phone.answer.person_id, "school:50203000")
    assert who.roles == frozenset({"teacher"})
    end = answer.tokens.access_expires_at.ToDatetime(UTC)
    assert timedelta(minutes=59) < end - peopled.clock.now() <= timedelta(minutes=60)


async def test_the_roster_makes_operators_and_heads(peopled: Auth) -> None:
    for place, role, npsn in ((1, "head_teacher", "50203000"), (3, "school_operator", "50203001")):
        phone = await enrolled(peopled, place)
        tokens = (await peopled.auth.SignIn(sign_in(phone, await challenge(peopled, phone)))).tokens
        assert set(tokens.roles) == {"teacher", role}
        assert tokens.unit == f"school:{npsn}"


async def test_a_wider_grant_takes_the_session_and_leaves_the_narrower_role_out(peopled: Auth) -> None:
    phone = await enrolled(peopled, 3)
    await peopled.administrator.execute(
        "INSERT INTO auth.grants (regency, grant_id, person_id, role, unit, valid_from, valid_to, from_roster, "
        "granted_by, granted_at) SELECT '5202', gen_random_uuid(), person_id, role, unit, first, last, false, 'test', "
        "now() FROM auth.people, (VALUES ('liaison', 'district:52.02.02', date '2020-01-01', NULL::date), "
        "('personnel_agency', 'regency:5202', date '2020-01-01', date '2021-01-01')) AS g (role, unit, first, last) "
        "WHERE staff_number = $1",
        PEOPLE[3][0],
    )
    tokens = (await peopled.auth.SignIn(sign_in(phone, await challenge(peopled, phone)))).tokens
    assert list(tokens.roles) == ["liaison", "teacher"]
    assert tokens.unit == "district:52.02.02"


async def test_a_challenge_is_used_once_even_by_two_at_once(peopled: Auth) -> None:
    phone = await enrolled(peopled)
    request = sign_in(phone, await challenge(peopled, phone))
    answers = await asyncio.gather(*(peopled.auth.SignIn(request) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, pb.SignInResponse) for answer in answers) == 1
    assert await refused(peopled.auth.SignIn(request)) == "CHALLENGE_INVALID"


async def test_refusals_of_sign_in(peopled: Auth) -> None:
    phone, other = await enrolled(peopled), await enrolled(peopled, 1)
    given = await challenge(peopled, phone)
    assert await refused(peopled.auth.SignIn(sign_in(other, given))) == "CHALLENGE_INVALID"
    wrong = sign(other, b"hadir.signin.v1\0" + given)
    assert await refused(peopled.auth.SignIn(sign_in(phone, given, wrong))) == "SIGNATURE_INVALID"
    assert await refused(peopled.auth.SignIn(sign_in(phone, given))) == "CHALLENGE_INVALID"
    given = await challenge(peopled, phone)
    assert await refused(peopled.auth.SignIn(sign_in(phone, given, b"\x30" * 70))) == "SIGNATURE_INVALID"
    given = await challenge(peopled, phone)
    assert (
        await refused(peopled.auth.SignIn(sign_in(phone, given, sign(phone, given)))) == "SIGNATURE_INVALID"
    )
    forged = sign_in(phone, given)
    forged.device_certificate = forged.device_certificate[:-4] + "AAAA"
    assert await refused(peopled.auth.SignIn(forged)) == "CERTIFICATE_INVALID"
    given = await challenge(peopled, phone)
    peopled.clock.added = timedelta(seconds=121)
    assert await refused(peopled.auth.SignIn(sign_in(phone, given))) == "CHALLENGE_INVALID"
    peopled.clock.added = timedelta(days=64)
    given = await challenge(peopled, phone)
    assert await refused(peopled.auth.SignIn(sign_in(phone, given))) == "CERTIFICATE_INVALID"


async def test_a_revoked_device_neither_signs_in_nor_renews(peopled: Auth) -> None:
    phone = await enrolled(peopled)
    given = await challenge(peopled, phone)
    assert phone.answer is not None
    await peopled.roster.ReplaceDevice(
        roster_pb.ReplaceDeviceRequest(person_id=phone.answer.person_id, reason="lost"),
        metadata=peopled.staff(),
    )
    assert await refused(peopled.auth.SignIn(sign_in(phone, given))) == "DEVICE_REVOKED"
    assert (
        await refused(peopled.auth.SignIn(sign_in(phone, await challenge(peopled, phone))))
        == "CHALLENGE_INVALID"
    )
    renew = peopled.auth.RenewCertificate(pb.RenewCertificateRequest(), metadata=proof(peopled, phone))
    assert await refused(renew) == "DEVICE_REVOKED"


async def test_challenges_are_bounded_and_only_for_known_devices(peopled: Auth) -> None:
    phone = await enrolled(peopled)
    unknown = pb.CreateChallengeRequest(device_id="01890000-0000-7000-8000-000000000000")
    assert len((await peopled.auth.CreateChallenge(unknown)).challenge) == 32
    for _ in range(19):
        await challenge(peopled, phone)
    last = await challenge(peopled, phone)
    assert await peopled.administrator.fetchval("SELECT count(*) FROM auth.challenges") == 8
    kept = await peopled.administrator.fetch("SELECT digest FROM auth.challenges")
    assert last not in [record["digest"] for record in kept]
    await peopled.auth.SignIn(sign_in(phone, last))


async def test_what_nobody_used_is_deleted(peopled: Auth) -> None:
    phone = await enrolled(peopled)
    for _ in range(5):
        await challenge(peopled, phone)
    purge = PurgeChallenges(
        clock=peopled.clock, store=PostgresSessionStore(transactions=peopled.transactions, regency=REGENCY)
    )
    assert await purge() == 0
    peopled.clock.added = timedelta(seconds=121)
    assert await purge() == 5
    assert await peopled.administrator.fetchval("SELECT count(*) FROM auth.challenges") == 0


async def test_renewal_also_shortly_after_the_end(peopled: Auth) -> None:
    phone = await enrolled(peopled)
    assert phone.answer is not None
    for days in (0, 63, 70):
        peopled.clock.added = timedelta(days=days)
        metadata = proof(peopled, phone)
        answer = await peopled.auth.RenewCertificate(pb.RenewCertificateRequest(), metadata=metadata)
        left = answer.not_after.ToDatetime(UTC) - peopled.clock.now()
        assert timedelta(days=56) - timedelta(minutes=1) < left <= timedelta(days=63)
    peopled.clock.added = timedelta(days=63 + 14, minutes=1)
    renew = peopled.auth.RenewCertificate(pb.RenewCertificateRequest(), metadata=proof(peopled, phone))
    assert await refused(renew) == "TOKEN_EXPIRED"


async def test_renewal_names_the_school_of_now(peopled: Auth) -> None:
    phone = await enrolled(peopled)
    await peopled.administrator.execute("UPDATE auth.people SET npsn = '50203001'")
    answer = await peopled.auth.RenewCertificate(pb.RenewCertificateRequest(), metadata=proof(peopled, phone))
    verifier = TokenVerifier(keyset=KeySet(peopled.keys.jwks), regency=REGENCY, clock=peopled.clock)
    assert verifier.certificate(answer.device_certificate).school == "50203001"


async def test_public_keys_verify_what_was_signed(peopled: Auth) -> None:
    answer = await peopled.auth.GetJwks(pb.GetJwksRequest())
    [key] = answer.keys
    assert (key.kty, key.crv, key.alg, key.use, key.kid) == (
        "EC",
        "P-256",
        "ES256",
        "sig",
        peopled.keys.key_id,
    )
    jwk = {name.name: value for name, value in key.ListFields()}
    phone = await enrolled(peopled)
    assert phone.answer is not None
    verifier = TokenVerifier(keyset=KeySet([jwk]), regency=REGENCY, clock=peopled.clock)
    assert verifier.certificate(phone.answer.device_certificate).device_id == phone.answer.device_id


async def test_what_comes_later_says_so(peopled: Auth) -> None:
    person = "01890000-0000-7000-8000-000000000000"
    staff = peopled.staff(Role.PERSONNEL_AGENCY)
    calls: list[Awaitable[object]] = [
        peopled.auth.SignInWithPassword(pb.SignInWithPasswordRequest(username="a", password="b")),
        peopled.auth.Refresh(pb.RefreshRequest(refresh_token="a")),
        peopled.auth.SignOut(pb.SignOutRequest()),
        peopled.roster.ProposeBlock(
            roster_pb.ProposeBlockRequest(person_id=person, reason="a"), metadata=staff
        ),
        peopled.roster.DecideBlock(
            roster_pb.DecideBlockRequest(
                block_id=person, decision=roster_pb.BLOCK_DECISION_BLOCK, reason="a"
            ),
            metadata=staff,
        ),
        peopled.roster.TransferPerson(
            roster_pb.TransferPersonRequest(person_id=person, npsn="50203000", valid_from="2026-01-01"),
            metadata=staff,
        ),
    ]
    assert [await refused(call) for call in calls] == ["NOT_YET_AVAILABLE"] * 6
