"""Who may call what, and what a stamp of arrival is worth, over real connections. Owner: chassis."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.wrappers_pb2 import StringValue
from prometheus_client import CollectorRegistry

from chassis.errors import KeysUnavailableError, retry_delay
from chassis.grpc_server import (
    Access,
    GrpcServer,
    MethodPolicy,
    arrived_over_edge,
    client_sent_arrival,
    entered_at,
    principal,
)
from chassis.tokens import ANONYMOUS, KeySet, TokenVerifier, device_claims, issue, make_proof, signing_jwk
from tests.fakes.clock import FakeClock
from tests.fakes.scratch import (
    METHODS,
    Running,
    Scratch,
    add_scratch_to_server,
    calling,
    drained,
    refusal,
    serving,
    settings_for,
    text,
)

AUTH = ec.generate_private_key(ec.SECP256R1())
DEVICE = ec.generate_private_key(ec.SECP256R1())
ECHO = METHODS[0]
AGENCY = Access.roles("personnel_agency", "education_agency")

Metadata = tuple[tuple[str, str], ...]


async def _who(request: Any, context: Any) -> str:
    caller = principal(context)
    return f"{caller.kind} {caller.subject} {caller.unit}"


def _verifier(clock: FakeClock, keyset: KeySet | None = None) -> TokenVerifier:
    keys = KeySet([signing_jwk(AUTH.public_key())]) if keyset is None else keyset
    return TokenVerifier(keyset=keys, regency="5202", clock=clock)


def _token(clock: FakeClock, **changes: Any) -> str:
    given: dict[str, Any] = {
        "kind": "access", "subject": "siti", "regency": "5202", "now": clock.now(), "lifetime": timedelta(hours=1),
        "claims": {"roles": ["personnel_agency"], "unit": "regency:5202"},
    }  # fmt: skip
    return issue(AUTH, **(given | changes))


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def _certificate(clock: FakeClock, **changes: Any) -> str:
    claims = device_claims(device_id="d1", school="50203000", key=DEVICE.public_key())
    return _token(clock, **({"kind": "device", "subject": "ani", "claims": claims} | changes))


def _bound(clock: FakeClock, certificate: str, **changes: Any) -> Metadata:
    given: dict[str, Any] = {"method": ECHO, "token": certificate, "now": clock.now()}
    return (("authorization", f"DPoP {certificate}"), ("dpop", make_proof(DEVICE, **(given | changes))))


async def _ask(running: Running, metadata: Metadata) -> str:
    async with calling(running.direct) as caller:
        return StringValue.FromString(await caller.unary("Echo")(text("x"), metadata=metadata)).value


def _refusals(clock: FakeClock) -> dict[str, tuple[Metadata, str]]:
    token, certificate = _token(clock), _certificate(clock)
    later = clock.now() + timedelta(minutes=6)
    return {
        "nothing": ((), "TOKEN_MISSING"),
        "another scheme": ((("authorization", "Basic YTpi"),), "TOKEN_INVALID"),
        "no token": ((("authorization", "Bearer"),), "TOKEN_INVALID"),
        "noise": (_bearer("a.b.c"), "TOKEN_INVALID"),
        "expired": (_bearer(_token(clock, lifetime=timedelta(hours=-1))), "TOKEN_EXPIRED"),
        "another regency's": (_bearer(_token(clock, regency="5203")), "REGENCY_MISMATCH"),
        "another role": (_bearer(_token(clock, claims={"roles": ["auditor"], "unit": ""})), "ROLE_NOT_ALLOWED"),
        "a service": (_bearer(_token(clock, kind="service")), "ROLE_NOT_ALLOWED"),
        "a certificate without proof": (_bearer(certificate), "PROOF_MISSING"),
        "no proof": (_bound(clock, certificate)[:1], "PROOF_MISSING"),
        "a proof for another method": (_bound(clock, certificate, method=METHODS[1]), "PROOF_INVALID"),
        "a proof from the future": (_bound(clock, certificate, now=later), "PROOF_STALE"),
        "an expired certificate": (
            _bound(clock, _certificate(clock, lifetime=timedelta(hours=-1))), "TOKEN_EXPIRED"
        ),
        "an access token with the DPoP scheme": (_bound(clock, token), "TOKEN_INVALID"),
    }  # fmt: skip


@pytest.mark.parametrize("name", _refusals(FakeClock()))
async def test_who_may_not_is_told_why(tmp_path: Path, name: str) -> None:
    clock = FakeClock()
    metadata, reason = _refusals(clock)[name]
    access = Access.any_of(AGENCY, Access.device())
    async with (
        serving(tmp_path, clock=clock, verifier=_verifier(clock), access=access) as running,
        calling(running.direct) as caller,
    ):
        refused = await refusal(caller.unary("Echo")(text("x"), metadata=metadata))
        denied = reason in {"ROLE_NOT_ALLOWED", "REGENCY_MISMATCH"}
        assert refused.code is (
            grpc.StatusCode.PERMISSION_DENIED if denied else grpc.StatusCode.UNAUTHENTICATED
        )
        assert refused.reason == reason
        assert set(refused.texts) == {"id-ID", "en"}
        assert running.scratch.seen == []


async def test_who_may_is_known_to_the_handler(tmp_path: Path) -> None:
    clock = FakeClock()
    access = Access.any_of(AGENCY, Access.device())
    async with serving(
        tmp_path, clock=clock, verifier=_verifier(clock), access=access, behaviour=_who
    ) as running:
        assert await _ask(running, _bearer(_token(clock))) == "access siti regency:5202"
        assert await _ask(running, _bound(clock, _certificate(clock))) == "device ani "


async def test_a_stale_proof_is_told_the_servers_time(tmp_path: Path) -> None:
    clock = FakeClock()
    metadata = _bound(clock, _certificate(clock), now=clock.now() - timedelta(hours=1))
    async with (
        serving(tmp_path, clock=clock, verifier=_verifier(clock), access=Access.device()) as running,
        calling(running.direct) as caller,
    ):
        refused = await refusal(caller.unary("Echo")(text("x"), metadata=metadata))
        assert b"2026-08-02T23:00:00+00:00" in refused.status.SerializeToString()


async def test_a_device_is_refused_where_only_staff_may(tmp_path: Path) -> None:
    clock = FakeClock()
    async with (
        serving(tmp_path, clock=clock, verifier=_verifier(clock), access=AGENCY) as running,
        calling(running.direct) as caller,
    ):
        refused = await refusal(caller.unary("Echo")(text("x"), metadata=_bound(clock, _certificate(clock))))
        assert refused.reason == "ROLE_NOT_ALLOWED"


async def test_a_certificate_renews_for_a_while_after_its_end(tmp_path: Path) -> None:
    clock = FakeClock()
    certificate = _certificate(clock)
    clock.advance(timedelta(days=13))
    access = Access.device(expired_leeway=timedelta(days=14))
    async with (
        serving(tmp_path, clock=clock, verifier=_verifier(clock), access=access) as running,
        calling(running.direct) as caller,
    ):
        assert await caller.unary("Echo")(text("x"), metadata=_bound(clock, certificate))
        clock.advance(timedelta(days=2))
        assert (
            await refusal(caller.unary("Echo")(text("x"), metadata=_bound(clock, certificate)))
        ).reason == ("TOKEN_EXPIRED")


async def test_streams_are_guarded_too(tmp_path: Path) -> None:
    clock = FakeClock()
    async with (
        serving(tmp_path, clock=clock, verifier=_verifier(clock), access=AGENCY, behaviour=_who) as running,
        calling(running.direct) as caller,
    ):
        for call in (
            drained(caller.stream("Count")(text("x"))),
            drained(caller.stream("Write")(text("x"))),
            caller.send("Collect")(iter([])),
            drained(caller.chat("Chat")(iter([]))),
        ):
            assert (await refusal(call)).reason == "TOKEN_MISSING"
        answers = await drained(caller.stream("Count")(text("x"), metadata=_bearer(_token(clock))))
        assert StringValue.FromString(answers[-1]).value == "access siti regency:5202"


async def test_credentials_are_not_looked_at_where_anyone_may(tmp_path: Path) -> None:
    async with serving(tmp_path, behaviour=_who) as running:
        assert await _ask(running, _bearer("noise")) == f"{ANONYMOUS.kind}  "


async def test_a_new_signing_key_is_fetched_when_its_first_token_comes(tmp_path: Path) -> None:
    clock, fetched = FakeClock(), []

    async def fetch() -> list[dict[str, str]]:
        fetched.append(clock.now())
        return [signing_jwk(AUTH.public_key())]

    verifier = _verifier(clock, KeySet(refresh=fetch, clock=clock, min_interval=timedelta(seconds=0.05)))
    async with (
        serving(tmp_path, clock=clock, verifier=verifier, access=AGENCY) as running,
        calling(running.direct) as caller,
    ):
        metadata = _bearer(_token(clock))
        assert await caller.unary("Echo")(text("x"), metadata=metadata)
        assert await drained(caller.stream("Count")(text("x"), metadata=metadata))
        stranger = issue(
            DEVICE, kind="access", subject="x", regency="5202", now=clock.now(), lifetime=timedelta(hours=1)
        )
        refused = await asyncio.gather(
            *(refusal(caller.unary("Echo")(text("x"), metadata=_bearer(stranger))) for _ in range(5))
        )
        assert {one.reason for one in refused} == {"TOKEN_INVALID"}
        # All five shared one fetch, unless the machine was so slow that one of them came after it.
        assert 2 <= len(fetched) <= 6


async def test_a_key_that_cannot_be_asked_for_is_no_forgery(tmp_path: Path) -> None:
    clock = FakeClock()

    async def fetch() -> list[dict[str, str]]:
        raise KeysUnavailableError("auth is away")

    verifier = _verifier(clock, KeySet(refresh=fetch, clock=clock))
    access = Access.any_of(AGENCY, Access.device())
    async with (
        serving(tmp_path, clock=clock, verifier=verifier, access=access) as running,
        calling(running.direct) as caller,
    ):
        for metadata in (_bearer(_token(clock)), _bound(clock, _certificate(clock))):
            told = await asyncio.gather(
                *(refusal(caller.unary("Echo")(text("x"), metadata=metadata)) for _ in range(4)),
                refusal(drained(caller.stream("Count")(text("x"), metadata=metadata))),
            )
            assert {(one.code, one.reason) for one in told} == {
                (grpc.StatusCode.UNAVAILABLE, "KEYS_UNAVAILABLE")
            }
            assert all(retry_delay(one.status) is not None for one in told)


async def test_a_revoked_device_is_turned_away_at_once(tmp_path: Path) -> None:
    clock, revoked = FakeClock(), set[str]()
    access = Access.any_of(AGENCY, Access.device())
    async with (
        serving(
            tmp_path, clock=clock, verifier=_verifier(clock), access=access, revoked=revoked.__contains__
        ) as running,
        calling(running.direct) as caller,
    ):
        bound = _bound(clock, _certificate(clock))
        assert await caller.unary("Echo")(text("x"), metadata=bound)
        revoked.add("d1")
        refused = await refusal(caller.unary("Echo")(text("x"), metadata=bound))
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "DEVICE_REVOKED")
        assert retry_delay(refused.status) is None
        stream = _bound(clock, _certificate(clock), method="/hadir.test.v1.Scratch/Count")
        assert (
            await refusal(drained(caller.stream("Count")(text("x"), metadata=stream)))
        ).reason == "DEVICE_REVOKED"
        # What is wrong with the proof is told first: a stranger with a copied certificate learns nothing.
        assert (await refusal(caller.unary("Echo")(text("x"), metadata=bound[:1]))).reason == "PROOF_MISSING"
        assert await caller.unary("Echo")(text("x"), metadata=_bearer(_token(clock)))


def _server(access: dict[str, Access | MethodPolicy]) -> GrpcServer:
    return GrpcServer(
        settings=settings_for(),
        clock=FakeClock(),
        registry=CollectorRegistry(),
        verifier=None,
        errors={},
        access=access,
    )


def test_a_method_without_an_entry_is_not_served() -> None:
    with pytest.raises(ValueError, match=r"no access entry for /hadir.test.v1.Scratch/Chat$"):
        _server(dict.fromkeys(METHODS[:-1], Access.public())).add(add_scratch_to_server, Scratch())


async def test_an_entry_without_a_method_is_a_mistake() -> None:
    server = _server(dict.fromkeys((*METHODS, "/hadir.test.v1.Scratch/Ecko"), Access.public()))
    server.add(add_scratch_to_server, Scratch())
    with pytest.raises(ValueError, match="Ecko"):
        await server.start()


async def test_guarded_methods_need_a_verifier() -> None:
    server = _server(dict.fromkeys(METHODS, AGENCY))
    server.add(add_scratch_to_server, Scratch())
    with pytest.raises(ValueError, match="no verifier"):
        await server.start()


def test_access_is_said_completely() -> None:
    wrong: list[Callable[[], Access]] = [
        Access.roles,
        Access.any_of,
        lambda: Access.any_of(Access.public(), AGENCY),
    ]
    for make in wrong:
        with pytest.raises(ValueError, match="name at least one"):
            make()
    either = Access.any_of(AGENCY, Access.device(expired_leeway=timedelta(days=1)), Access.service())
    assert either == Access(
        by_device=True,
        by_roles=frozenset({"personnel_agency", "education_agency", "service"}),
        expired_leeway=timedelta(days=1),
    )


def _stamp(moment: datetime) -> str:
    return str(int((moment - datetime.fromtimestamp(0, UTC)) / timedelta(microseconds=1)))


ENTRY = FakeClock().now()
EARLIER = ENTRY - timedelta(seconds=3, microseconds=1)
UNBELIEVABLE = {
    "none": None,
    "noise": "soon",
    "seconds": "1785711600",
    "milliseconds": "1785711600000",
    "eighteen digits": "178571160000000000",
    "negative": "-785711600000000",
    "older than the edge waits": _stamp(ENTRY - timedelta(seconds=10, microseconds=1)),
    "from the future": _stamp(ENTRY + timedelta(seconds=1)),
}


async def _arrival(target: str, stamp: str | None) -> str:
    metadata = () if stamp is None else (("x-hadir-arrival", stamp),)
    async with calling(target) as caller:
        return StringValue.FromString(await caller.unary("Echo")(text("x"), metadata=metadata)).value


def _arrivals(clock: FakeClock) -> Any:
    async def behaviour(request: Any, context: Any) -> str:
        clock.advance(60)  # however long the handler takes: the entry is when it was entered
        arrived = arrived_over_edge(context, clock)
        return f"{arrived} {client_sent_arrival(context)} {entered_at(context)}"

    return behaviour


async def test_the_edges_stamp_is_the_arrival(tmp_path: Path) -> None:
    clock = FakeClock()
    async with serving(tmp_path, clock=clock, behaviour=_arrivals(clock)) as running:
        assert await _arrival(running.edge, _stamp(EARLIER)) == f"{EARLIER} False {ENTRY}"


async def test_a_stamp_on_any_other_listener_is_without_effect_and_noticed(tmp_path: Path) -> None:
    for kind in ("tcp", "unix"):
        clock = FakeClock()
        listen = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/direct.sock"
        async with serving(tmp_path, clock=clock, behaviour=_arrivals(clock), grpc_listen=listen) as running:
            assert await _arrival(running.direct, _stamp(EARLIER)) == f"None True {ENTRY}"
            entry = clock.now()
            assert await _arrival(running.direct, None) == f"None False {entry}"


@pytest.mark.parametrize("name", UNBELIEVABLE)
async def test_an_unbelievable_stamp_is_none(tmp_path: Path, name: str) -> None:
    clock = FakeClock()
    async with serving(tmp_path, clock=clock, behaviour=_arrivals(clock)) as running:
        assert (await _arrival(running.edge, UNBELIEVABLE[name])).startswith("None False")


async def test_a_stamp_a_little_ahead_is_the_entry(tmp_path: Path) -> None:
    clock = FakeClock()
    async with serving(tmp_path, clock=clock, behaviour=_arrivals(clock)) as running:
        answer = await _arrival(running.edge, _stamp(ENTRY + timedelta(milliseconds=200)))
        assert answer.startswith(f"{ENTRY} ")


async def test_a_moved_clock_moves_the_edges_stamp_too(tmp_path: Path) -> None:
    clock = FakeClock(offset=timedelta(days=30))
    async with serving(tmp_path, clock=clock, behaviour=_arrivals(clock)) as running:
        assert await _arrival(running.edge, _stamp(EARLIER)) == (
            f"{EARLIER + timedelta(days=30)} False {ENTRY + timedelta(days=30)}"
        )


async def test_the_ages_edge_is_ten_seconds(tmp_path: Path) -> None:
    clock = FakeClock()
    async with serving(tmp_path, clock=clock, behaviour=_arrivals(clock)) as running:
        oldest = ENTRY - timedelta(seconds=10)
        assert (await _arrival(running.edge, _stamp(oldest))).startswith(f"{oldest} ")
