"""auth's public keys: fetched from GetJwks and kept in our own schema, so that auth may be away. Owned by reporting."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NoReturn

import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import is_contended, is_unavailable
from chassis.tokens import KeySet
from hadir.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from services.reporting.application.errors import KeysUnavailableError

logger = logging.getLogger(__name__)

# A new signing key is published well before it is used.
_REFRESH_SECONDS = 300.0
_RETRY_SECONDS = 2.0

_LOAD = text("SELECT jwk FROM reporting.auth_keys WHERE regency = :regency")
_CLEAR = text(
    "DELETE FROM reporting.auth_keys WHERE regency = :regency AND NOT kid = ANY (CAST(:kids AS text[]))"
)
_SAVE = text(
    "INSERT INTO reporting.auth_keys (regency, kid, jwk, fetched_at)"
    " SELECT :regency, kid, CAST(jwk AS jsonb), :now"
    " FROM unnest(CAST(:kids AS text[]), CAST(:jwks AS text[])) AS came (kid, jwk)"
    " ON CONFLICT (regency, kid) DO UPDATE SET jwk = EXCLUDED.jwk, fetched_at = EXCLUDED.fetched_at"
)
_FIELDS = ("kty", "crv", "x", "y", "kid", "alg", "use")


class AuthKeys:
    """Feeds a KeySet.

    Args:
        engine: where the keys are kept over restarts.
        channel: to auth.
        regency: four digits.
        now: the time.
    """

    def __init__(
        self, engine: AsyncEngine, channel: grpc.aio.Channel, *, regency: str, now: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._stub = auth_service_pb2_grpc.AuthServiceStub(channel)
        self._regency = regency
        self._now = now
        self.answered = False
        """Whether auth answered the last time it was asked."""

    async def fetch(self) -> Sequence[dict[str, Any]]:
        """Auth's keys now.

        Raises:
            grpc.aio.AioRpcError: auth is away.
        """
        self.answered = False
        answer = await self._stub.GetJwks(auth_service_pb2.GetJwksRequest())
        self.answered = True
        return [{name: getattr(key, name) for name in _FIELDS} for key in answer.keys]

    async def fetch_now(self) -> Sequence[dict[str, Any]]:
        """Auth's keys now, for a token whose key is unknown.

        Raises:
            KeysUnavailableError: auth is away, so nobody can say whether the token is right.
        """
        try:
            return await self.fetch()
        except grpc.aio.AioRpcError as error:
            raise KeysUnavailableError from error

    async def recall(self, keyset: KeySet) -> None:
        """Takes the keys kept before, if the database is there."""
        keyset.update(await self._load())

    async def follow(self, keyset: KeySet) -> NoReturn:
        """Keeps the set current, until cancelled."""
        while True:
            if not len(keyset):
                await self.recall(keyset)
            try:
                keys = await self.fetch()
                keyset.update(keys)
                await self._keep(keys)
            except grpc.aio.AioRpcError as error:
                logger.warning(
                    "auth's keys could not be fetched (%s); the known ones hold", error.code().name
                )
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await asyncio.sleep(_REFRESH_SECONDS)

    async def _load(self) -> Sequence[dict[str, Any]]:
        try:
            async with self._engine.connect() as connection:
                found = await connection.execute(_LOAD, {"regency": self._regency})
                return [key if isinstance(key, dict) else json.loads(key) for key in found.scalars()]
        except Exception as error:
            if not (is_unavailable(error) or is_contended(error)):
                raise
            return ()

    async def _keep(self, keys: Sequence[dict[str, Any]]) -> None:
        kids = [key["kid"] for key in keys]
        values = {
            "regency": self._regency,
            "kids": kids,
            "jwks": list(map(json.dumps, keys)),
            "now": self._now(),
        }
        try:
            async with self._engine.begin() as connection:
                await connection.execute(_CLEAR, {"regency": self._regency, "kids": kids})
                await connection.execute(_SAVE, values)
        except Exception as error:
            if not (is_unavailable(error) or is_contended(error)):
                raise
            logger.warning("auth's keys could not be kept for a restart: %s", type(error).__name__)
