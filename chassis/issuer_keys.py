"""The keys of the service that issues tokens: asked for over gRPC, kept in our own schema so that it may be away.

Owner: chassis. It knows neither who the issuer is nor its messages: a service passes the call, and the table to keep
the answer in (regency, kid, jwk and a time; the primary key is regency and kid).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NoReturn, Protocol

import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.clock import Clock
from chassis.database import is_contended, is_unavailable
from chassis.errors import KeysUnavailableError
from chassis.keys import KeySet

logger = logging.getLogger(__name__)

# What makes a withdrawn key go. A new one need not wait for it: the first token by it has the keys fetched at once.
REFRESH_SECONDS: Final = 300.0
# While the issuer or our database is away: sooner than anybody notices, later than a busy loop.
RETRY_SECONDS: Final = 2.0


class JwkMessage(Protocol):
    """A public key as a message has it: the members of a JSON Web Key."""

    @property
    def kty(self) -> str: ...  # noqa: D102 - RFC 7517 says
    @property
    def crv(self) -> str: ...  # noqa: D102
    @property
    def x(self) -> str: ...  # noqa: D102
    @property
    def y(self) -> str: ...  # noqa: D102
    @property
    def kid(self) -> str: ...  # noqa: D102
    @property
    def alg(self) -> str: ...  # noqa: D102
    @property
    def use(self) -> str: ...  # noqa: D102


class JwksMessage(Protocol):
    """The issuer's answer."""

    @property
    def keys(self) -> Iterable[JwkMessage]:
        """All keys that verify tokens now."""


class IssuerKeys:
    """A KeySet (`keyset`) that follows its issuer.

    Args:
        ask: the call to the issuer.
        engine: where the keys are kept over restarts.
        table: "schema.table" to keep them in.
        stamp: that table's column for the time at which they were kept.
        regency: four digits.
        clock: for that time, and for the pause between two fetches.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[JwksMessage]],
        *,
        engine: AsyncEngine,
        table: str,
        stamp: str,
        regency: str,
        clock: Clock,
    ) -> None:
        self._ask = ask
        self._engine = engine
        self._regency = regency
        self._clock = clock
        # The names are the composition root's, never a caller's; they cannot be bound as parameters.
        self._load = text(f"SELECT jwk FROM {table} WHERE regency = :regency")  # noqa: S608
        self._clear = text(
            f"DELETE FROM {table} WHERE regency = :regency AND NOT kid = ANY (CAST(:kids AS text[]))"  # noqa: S608
        )
        self._save = text(
            f"INSERT INTO {table} (regency, kid, jwk, {stamp})"  # noqa: S608
            " SELECT :regency, kid, CAST(jwk AS jsonb), :now"
            " FROM unnest(CAST(:kids AS text[]), CAST(:jwks AS text[])) AS came (kid, jwk)"
            f" ON CONFLICT (regency, kid) DO UPDATE SET jwk = EXCLUDED.jwk, {stamp} = EXCLUDED.{stamp}"
        )
        self.keyset = KeySet(refresh=self._fetch, clock=clock)
        self._kept_version = self.keyset.version

    async def recall(self) -> None:
        """Takes the keys kept before, if the set is empty and the database is there."""
        try:
            async with self._engine.connect() as connection:
                found = (await connection.execute(self._load, {"regency": self._regency})).scalars().all()
        except Exception as error:
            if not (is_unavailable(error) or is_contended(error)):
                raise
            return
        if not found or len(self.keyset):
            return
        try:
            self.keyset.update(key if isinstance(key, dict) else json.loads(key) for key in found)
        except ValueError:
            # A service that ends at its start because of a cache would stay away; the issuer has the keys.
            logger.exception("the keys kept before cannot be used")
        else:
            self._kept_version = self.keyset.version

    async def follow(self) -> NoReturn:
        """Keeps the set current and kept, until cancelled."""
        while True:
            if not len(self.keyset):
                await self.recall()
            try:
                await self.keyset.refresh()
                current = await self._keep()
            except KeysUnavailableError:
                current = False
            await asyncio.sleep(REFRESH_SECONDS if current else RETRY_SECONDS)

    async def _fetch(self) -> list[dict[str, Any]]:
        try:
            answer = await self._ask()
        except grpc.aio.AioRpcError as error:
            raise KeysUnavailableError(error.code().name) from error
        return [
            {
                "kty": key.kty, "crv": key.crv, "x": key.x, "y": key.y, "kid": key.kid, "alg": key.alg, "use": key.use
            }
            for key in answer.keys
        ]  # fmt: skip

    async def _keep(self) -> bool:
        version, keys = self.keyset.version, self.keyset.jwks()
        if version == self._kept_version:
            return True
        kids = [key["kid"] for key in keys]
        values = {
            "regency": self._regency,
            "kids": kids,
            "jwks": [json.dumps(key) for key in keys],
            "now": self._clock.now(),
        }
        try:
            async with self._engine.begin() as connection:
                await connection.execute(self._clear, {"regency": self._regency, "kids": kids})
                await connection.execute(self._save, values)
        except Exception as error:
            if not (is_unavailable(error) or is_contended(error)):
                raise
            logger.warning("keys could not be kept for a restart", extra={"why": type(error).__name__})
            return False
        self._kept_version = version
        return True
