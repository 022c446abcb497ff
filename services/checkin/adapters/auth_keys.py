"""auth's public keys: fetched from GetJwks, kept in checkin's own schema, so that auth may be away at a restart."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.tokens import KeySet
from hadir.auth.v1 import auth_service_pb2, auth_service_pb2_grpc

logger = logging.getLogger(__name__)

# A new signing key is published before it is used; five minutes is far below that.
_REFRESH_SECONDS = 300.0
_RETRY_SECONDS = 2.0

_LOAD = text("SELECT jwk FROM checkin.auth_keys WHERE regency = :regency")
_CLEAR = text(
    "DELETE FROM checkin.auth_keys WHERE regency = :regency AND NOT kid = ANY(CAST(:kids AS text[]))"
)
_SAVE = text(
    """
    INSERT INTO checkin.auth_keys (regency, kid, jwk, updated_at)
    SELECT :regency, kid, CAST(jwk AS jsonb), :now
    FROM unnest(CAST(:kids AS text[]), CAST(:jwks AS text[])) AS t (kid, jwk)
    ON CONFLICT (regency, kid) DO UPDATE SET jwk = excluded.jwk, updated_at = excluded.updated_at
    """
)


class AuthKeys:
    """Feeds a KeySet."""

    def __init__(
        self, engine: AsyncEngine, channel: grpc.aio.Channel, *, regency: str, now: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._stub = auth_service_pb2_grpc.AuthServiceStub(channel)
        self._regency = regency
        self._now = now

    async def fetch(self) -> Sequence[dict[str, Any]]:
        """Auth's keys now, also kept for a restart. Raises grpc.aio.AioRpcError when auth is away."""
        answer = await self._stub.GetJwks(auth_service_pb2.GetJwksRequest())
        jwks = [
            {
                "kty": key.kty,
                "crv": key.crv,
                "x": key.x,
                "y": key.y,
                "kid": key.kid,
                "alg": key.alg,
                "use": key.use,
            }
            for key in answer.keys
        ]
        kids = [key["kid"] for key in jwks]
        async with self._engine.begin() as connection:
            await connection.execute(_CLEAR, {"regency": self._regency, "kids": kids})
            await connection.execute(
                _SAVE,
                {
                    "regency": self._regency,
                    "kids": kids,
                    "jwks": [json.dumps(key) for key in jwks],
                    "now": self._now(),
                },
            )
        return jwks

    async def load(self) -> Sequence[dict[str, Any]]:
        """The keys kept before."""
        async with self._engine.connect() as connection:
            found = await connection.execute(_LOAD, {"regency": self._regency})
            return [key if isinstance(key, dict) else json.loads(key) for key in found.scalars()]

    async def follow(self, keyset: KeySet) -> None:
        """Load what was kept, then keep the set current, until cancelled."""
        if not len(keyset):
            keyset.update(await self.load())
        while True:
            try:
                keyset.update(await self.fetch())
            except grpc.aio.AioRpcError as error:
                logger.warning("auth's keys could not be fetched (%s)", error.code().name)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await asyncio.sleep(_REFRESH_SECONDS)
