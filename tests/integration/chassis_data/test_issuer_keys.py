"""An issuer's keys, kept over restarts on a PostgreSQL that really goes. Owner: chassis-data."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import issuer_keys
from chassis.clock import SystemClock
from chassis.errors import KeysUnavailableError
from chassis.issuer_keys import IssuerKeys
from chassis.tokens import signing_jwk
from hadir.auth.v1 import auth_service_pb2
from tests.disturbed import Disturbed

FIRST, SECOND = (signing_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()) for _ in range(2))


@dataclass
class Auth:
    """Stands in for auth's GetJwks."""

    keys: list[dict[str, str]] = field(default_factory=lambda: [FIRST])
    away: bool = False
    asked: int = 0

    async def __call__(self) -> auth_service_pb2.GetJwksResponse:
        self.asked += 1
        if self.away:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
        return auth_service_pb2.GetJwksResponse(
            keys=[auth_service_pb2.JsonWebKey(**jwk) for jwk in self.keys]
        )


@pytest.fixture(autouse=True)
def _sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(issuer_keys, "RETRY_SECONDS", 0.05)


def _keys(auth: Auth, engine: AsyncEngine, regency: str = "5202") -> IssuerKeys:
    return IssuerKeys(
        auth, engine=engine, table="checkin.auth_keys", stamp="kept_at", regency=regency, clock=SystemClock()
    )


@asynccontextmanager
async def following(keys: IssuerKeys) -> AsyncIterator[None]:
    task = asyncio.create_task(keys.follow())
    try:
        yield
        assert not task.done(), "the following has ended"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def kept(engine: AsyncEngine) -> list[tuple[str, str]]:
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT regency, kid FROM checkin.auth_keys ORDER BY 1, 2"))
        return [(regency, kid) for regency, kid in found]


async def until_kept(engine: AsyncEngine, expected: list[tuple[str, str]]) -> None:
    for _ in range(300):
        if await kept(engine) == expected:
            return
        await asyncio.sleep(0.05)
    assert await kept(engine) == expected


async def until_asked_again(auth: Auth) -> None:
    # Twice: the call under way may have been answered before what the test changed.
    before = auth.asked
    for _ in range(300):
        if auth.asked >= before + 2:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the issuer was not asked again")


def rows(*keys: dict[str, str], regency: str = "5202") -> list[tuple[str, str]]:
    return sorted((regency, key["kid"]) for key in keys)


async def test_keys_are_kept_for_a_restart_while_the_issuer_is_away(engine: AsyncEngine) -> None:
    async with following(_keys(Auth([FIRST, SECOND]), engine)):
        await until_kept(engine, rows(FIRST, SECOND))
    away = Auth(away=True)
    keys = _keys(away, engine)
    await keys.recall()
    assert [key["kid"] for key in keys.keyset.jwks()] == sorted((FIRST["kid"], SECOND["kid"]))
    async with following(keys):
        await until_asked_again(away)
    with pytest.raises(KeysUnavailableError):
        await keys.keyset.refresh()
    assert len(keys.keyset) == 2


async def test_a_withdrawn_key_goes_and_another_regency_s_stays(engine: AsyncEngine) -> None:
    async with following(_keys(Auth(), engine, "5203")):
        await until_kept(engine, rows(FIRST, regency="5203"))
    auth = Auth([FIRST, SECOND])
    keys = _keys(auth, engine)
    async with following(keys):
        await until_kept(engine, rows(FIRST, SECOND) + rows(FIRST, regency="5203"))
        auth.keys = [SECOND]
        await until_kept(engine, rows(SECOND) + rows(FIRST, regency="5203"))
    assert keys.keyset.jwks() == [SECOND]


async def test_what_was_kept_and_is_no_key_is_passed_over(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO checkin.auth_keys VALUES ('5202', 'x', CAST(:jwk AS jsonb), now())"),
            {"jwk": '{"kid": "x", "kty": "RSA"}'},
        )
    keys = _keys(Auth(), engine)
    await keys.recall()
    assert len(keys.keyset) == 0
    async with following(keys):
        await until_kept(engine, rows(FIRST))


@pytest.mark.parametrize("answer", [[], [{**FIRST, "crv": "P-384"}]], ids=["no keys", "no key of ours"])
async def test_an_answer_that_cannot_be_used_changes_nothing(
    engine: AsyncEngine, answer: list[dict[str, str]]
) -> None:
    auth = Auth()
    keys = _keys(auth, engine)
    async with following(keys):
        await until_kept(engine, rows(FIRST))
        auth.keys = answer
        await until_asked_again(auth)
    assert not keys.keyset.answered
    assert await kept(engine) == rows(FIRST)
    assert keys.keyset.jwks() == [FIRST]


async def test_without_its_database_it_goes_on_and_keeps_the_keys_later(
    engine: AsyncEngine, backends: Disturbed
) -> None:
    await backends.stop("postgres")
    auth = Auth()
    keys = _keys(auth, engine)
    await keys.recall()
    async with following(keys):
        await until_asked_again(auth)
        assert keys.keyset.jwks() == [FIRST]
        await backends.start("postgres")
        await until_kept(engine, rows(FIRST))
