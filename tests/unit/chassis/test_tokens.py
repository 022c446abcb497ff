import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chassis import errors
from chassis.tokens import (
    KeySet,
    Principal,
    TokenVerifier,
    UnknownKeyError,
    device_claims,
    issue,
    make_proof,
    public_jwk,
    signing_jwk,
    thumbprint,
    token_hash,
)
from tests.fakes.clock import FakeClock

METHOD = "/hadir.checkin.v1.CheckinService/GetPlan"
AUTH = ec.generate_private_key(ec.SECP256R1())
DEVICE = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
HOUR = timedelta(hours=1)


@dataclass
class World:
    clock: FakeClock = field(default_factory=FakeClock)
    keyset: KeySet = field(default_factory=lambda: KeySet([signing_jwk(AUTH.public_key())]))

    def __post_init__(self) -> None:
        self.verifier = TokenVerifier(keyset=self.keyset, regency="5202", clock=self.clock, remembered=3)

    def certificate(self, **changes: Any) -> str:
        claims = device_claims(device_id="device-1", school="50203000", key=DEVICE.public_key())
        given: dict[str, Any] = {
            "key": AUTH, "kind": "device", "subject": "person-1", "regency": "5202", "now": self.clock.now(),
            "lifetime": 24 * HOUR, "claims": claims,
        }  # fmt: skip
        return issue(**(given | changes))

    def access(self, **changes: Any) -> str:
        given: dict[str, Any] = {
            "key": AUTH, "kind": "access", "subject": "person-2", "regency": "5202", "now": self.clock.now(),
            "lifetime": HOUR, "claims": {"roles": ["school_operator"], "unit": "school:50203000"},
        }  # fmt: skip
        return issue(**(given | changes))

    def proof(self, token: str, **changes: Any) -> str:
        given: dict[str, Any] = {"key": DEVICE, "method": METHOD, "token": token, "now": self.clock.now()}
        return make_proof(**(given | changes))

    def bound(self, token: str, proof: str, **more: Any) -> Principal:
        return self.verifier.verify_bound(token, proof, METHOD, **more)


@pytest.fixture
def world() -> World:
    return World()


def _part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _claims(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _signed(claims: dict[str, Any], *, headers: dict[str, Any] | None = None, key: Any = AUTH) -> str:
    kid = {"kid": thumbprint(AUTH.public_key())}
    return jwt.encode(claims, key, algorithm="ES256", headers=headers or kid)


def _none(token: str) -> str:
    header = {"alg": "none", "kid": thumbprint(AUTH.public_key())}
    return f"{_part(header)}.{token.split('.')[1]}."


def _hs256_by_public_key(token: str) -> str:
    header = {"alg": "HS256", "kid": thumbprint(AUTH.public_key())}
    secret = AUTH.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{_part(header)}.{token.split('.')[1]}"
    return f"{signed}.{_part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _changed(**changes: Any) -> Callable[[str], str]:
    def change(token: str) -> str:
        claims = _claims(token) | changes
        return _signed({name: value for name, value in claims.items() if value is not None})

    return change


def _tampered(token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{_part(claims | {'roles': ['personnel_agency']})}.{signature}"


INVALID_TOKENS: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "no token": lambda _: "abc",
    "no token, three parts": lambda _: "a.b.c",
    "not ASCII": lambda _: "tökén.ä.ö",
    "endless": lambda token: token + "x" * 5000,
    "algorithm none": _none,
    "HS256 with the public key": _hs256_by_public_key,
    "tampered": _tampered,
    "cut": lambda token: token[:-10],
    "another's key, our kid": lambda token: _signed(_claims(token), key=STRANGER),
    "another's key, its kid": lambda token: _signed(
        _claims(token), key=STRANGER, headers={"kid": thumbprint(STRANGER.public_key())}
    ),
    "no kid": lambda token: _signed(_claims(token), headers={"typ": "JWT"}),
    "wrong audience": _changed(aud="other"),
    "wrong issuer": _changed(iss="other"),
    "no subject": _changed(sub=None),
    "no regency": _changed(reg=None),
    "no end": _changed(exp=None),
    "no id": _changed(jti=None),
    "an end that is no time": _changed(exp="tomorrow"),
    "an end beyond all times": _changed(exp=1e300),
    "from the future": _changed(iat=FakeClock().now().timestamp() + 3600),
    "of an unknown kind": _changed(typ="admin"),
    "of no kind": _changed(typ=["access"]),
    "roles are no list": _changed(roles="personnel_agency"),
    "roles are no names": _changed(roles=[1]),
    "no unit": _changed(unit=None),
    "nested deeply": lambda _: _part({"alg": "ES256"}) + "." + _part(b"[" * 2000) + "." + _part(b"x"),
}


@pytest.mark.parametrize("name", INVALID_TOKENS)
def test_what_is_not_ours_is_invalid(world: World, name: str) -> None:
    token = INVALID_TOKENS[name](world.access())
    with pytest.raises(errors.TokenInvalidError):
        world.verifier.verify_bearer(token)


def test_an_access_token_says_who_may_act_where(world: World) -> None:
    token = world.access()
    caller = world.verifier.verify_bearer(token)
    assert caller == Principal(
        "access", "person-2", "5202", frozenset({"school_operator"}), unit="school:50203000", token=token
    )
    assert token not in repr(caller)


def test_a_service_acts_as_a_service(world: World) -> None:
    token = world.access(kind="service", subject="service:checkin", claims={})
    caller = world.verifier.verify_bearer(token)
    assert (caller.kind, caller.roles) == ("service", frozenset({"service"}))


def test_no_person_acts_as_a_service(world: World) -> None:
    token = world.access(claims={"roles": ["service", "auditor"], "unit": "regency:5202"})
    assert world.verifier.verify_bearer(token).roles == {"auditor"}


def test_another_regencys_token_is_refused(world: World) -> None:
    for token in (world.access(regency="5203"), world.access(regency=5202)):
        with pytest.raises(errors.RegencyMismatchError):
            world.verifier.verify_bearer(token)
    with pytest.raises(errors.RegencyMismatchError):
        world.verifier.certificate(world.certificate(regency="3305"))


def test_a_token_ends_also_when_it_is_remembered(world: World) -> None:
    token = world.access()
    world.clock.advance(HOUR)
    world.verifier.verify_bearer(token)
    world.clock.advance(1)
    with pytest.raises(errors.TokenExpiredError):
        world.verifier.verify_bearer(token)


def test_time_is_our_clocks_and_not_the_machines(world: World) -> None:
    world.clock.set_offset(timedelta(days=-3000))
    world.verifier.verify_bearer(world.access())


def test_claims_cannot_be_overridden_at_issue(world: World) -> None:
    token = world.access(
        claims={"roles": [], "unit": "x", "reg": "9999", "exp": 9_999_999_999, "typ": "service"}
    )
    assert world.verifier.verify_bearer(token).kind == "access"


def test_a_certificate_with_a_proof_is_a_device(world: World) -> None:
    token = world.certificate()
    caller = world.bound(token, world.proof(token))
    assert (caller.kind, caller.subject, caller.device_id, caller.school, caller.roles) == (
        "device", "person-1", "device-1", "50203000", frozenset()
    )  # fmt: skip


def test_a_certificate_alone_is_worth_nothing(world: World) -> None:
    token = world.certificate()
    with pytest.raises(errors.ProofMissingError):
        world.verifier.verify_bearer(token)
    with pytest.raises(errors.ProofMissingError):
        world.bound(token, "")


def test_a_proof_does_not_make_an_access_token_a_device(world: World) -> None:
    token = world.access()
    with pytest.raises(errors.TokenInvalidError):
        world.bound(token, world.proof(token))


def _proof_with(world: World, token: str, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    payload = _claims(world.proof(token)) | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, DEVICE, algorithm="ES256", headers=headers or {"typ": "dpop+jwt"})


INVALID_PROOFS: dict[str, Callable[[World, str], str]] = {
    "no proof": lambda _, __: "abc",
    "endless": lambda world, token: world.proof(token) + "x" * 3000,
    "by another key": lambda world, token: world.proof(token, key=STRANGER),
    "by another key, its key in the header": lambda world, token: jwt.encode(
        _claims(world.proof(token)), STRANGER, algorithm="ES256",
        headers={"typ": "dpop+jwt", "jwk": public_jwk(STRANGER.public_key())},
    ),
    "for another method": lambda world, token: world.proof(token, method=METHOD + "s"),
    "for another certificate": lambda world, _: world.proof(world.certificate(token_id="other")),
    "ath is no text": lambda world, token: _proof_with(world, token, ath=[1]),
    "ath is not ASCII": lambda world, token: _proof_with(world, token, ath="ä\ud800"),
    "no ath": lambda world, token: _proof_with(world, token, ath=None),
    "no jti": lambda world, token: _proof_with(world, token, jti=None),
    "no htu": lambda world, token: _proof_with(world, token, htu=None),
    "no iat": lambda world, token: _proof_with(world, token, iat=None),
    "iat is no time": lambda world, token: _proof_with(world, token, iat="now"),
    "another type": lambda world, token: _proof_with(world, token, headers={"typ": "JWT"}),
    "algorithm none": lambda world, token: (
        _part({"alg": "none", "typ": "dpop+jwt"}) + "." + world.proof(token).split(".")[1] + "."
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID_PROOFS)
def test_a_proof_that_proves_nothing(world: World, name: str) -> None:
    token = world.certificate()
    with pytest.raises(errors.ProofInvalidError):
        world.bound(token, INVALID_PROOFS[name](world, token))


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_proof_from_another_time_is_stale_and_told_the_time(world: World, seconds: int) -> None:
    token = world.certificate()
    proof = world.proof(token, now=world.clock.now() + timedelta(seconds=seconds))
    with pytest.raises(errors.ProofStaleError) as caught:
        world.bound(token, proof)
    assert caught.value.params["server_time"] == world.clock.now().isoformat(timespec="seconds")


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_phones_clock_may_be_a_little_wrong(world: World, seconds: int) -> None:
    token = world.certificate()
    world.bound(token, world.proof(token, now=world.clock.now() + timedelta(seconds=seconds)))


def test_an_expired_certificate_still_renews_for_a_while(world: World) -> None:
    token = world.certificate()
    world.clock.advance(timedelta(days=10))
    with pytest.raises(errors.TokenExpiredError):
        world.bound(token, world.proof(token))
    world.bound(token, world.proof(token), expired_leeway=timedelta(days=14))
    world.clock.advance(timedelta(days=6))
    with pytest.raises(errors.TokenExpiredError):
        world.bound(token, world.proof(token), expired_leeway=timedelta(days=14))


def test_a_certificate_is_read_also_after_its_end(world: World) -> None:
    token = world.certificate()
    made = world.clock.now()
    world.clock.advance(timedelta(days=400))
    certificate = world.verifier.certificate(token)
    assert (certificate.person_id, certificate.device_id, certificate.school) == (
        "person-1",
        "device-1",
        "50203000",
    )
    assert certificate.not_after - certificate.issued_at == timedelta(days=1)
    assert certificate.issued_at == made.replace(microsecond=0)
    assert certificate.public_key.public_numbers() == DEVICE.public_key().public_numbers()
    assert certificate.key_id == thumbprint(AUTH.public_key())


BROKEN_CERTIFICATES: dict[str, dict[str, Any]] = {
    "no device": {"dev": None},
    "no school": {"sch": None},
    "no key": {"cnf": {}},
    "a key off the curve": {"cnf": {"jwk": public_jwk(DEVICE.public_key()) | {"x": "AAAA"}}},
    "a key on another curve": {
        "cnf": {"jwk": {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}},
    },
    "a symmetric key": {"cnf": {"jwk": {"kty": "oct", "k": "AAAA"}}},
    "a private key": {"cnf": {"jwk": public_jwk(DEVICE.public_key()) | {"d": "AAAA"}}},
    "a key that is a list": {"cnf": {"jwk": [1]}},
}


@pytest.mark.parametrize("name", BROKEN_CERTIFICATES)
def test_a_broken_certificate_is_invalid(world: World, name: str) -> None:
    token = _changed(**BROKEN_CERTIFICATES[name])(world.certificate())
    with pytest.raises(errors.TokenInvalidError):
        world.verifier.certificate(token)


def test_an_access_token_is_no_certificate(world: World) -> None:
    with pytest.raises(errors.TokenInvalidError):
        world.verifier.certificate(world.access())


def test_remembered_tokens_are_few_and_end_with_their_key(world: World) -> None:
    tokens = [world.access(token_id=str(number)) for number in range(5)]
    for token in tokens:
        world.verifier.verify_bearer(token)
    assert len(world.verifier._verified) == 3
    world.keyset.update([signing_jwk(STRANGER.public_key())])
    for token in tokens:
        with pytest.raises(UnknownKeyError):
            world.verifier.verify_bearer(token)


def test_a_refused_token_is_not_remembered(world: World) -> None:
    with pytest.raises(errors.RegencyMismatchError):
        world.verifier.verify_bearer(world.access(regency="9999"))
    assert not world.verifier._verified


def test_times_are_whole_seconds() -> None:
    now = datetime(2026, 8, 3, 7, 0, 0, 999_999, tzinfo=UTC)
    token = issue(AUTH, kind="service", subject="service:x", regency="5202", now=now, lifetime=HOUR)
    assert _claims(token)["exp"] - _claims(token)["iat"] == 3600
    assert _claims(token)["iat"] == int(now.timestamp())
    assert len(token_hash(token)) == 43
