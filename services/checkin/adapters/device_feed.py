"""The device feed: auth's WatchDevices kept in checkin's own schema and memory.

Each replica watches for itself, because each needs revocations in its memory; all write the same rows, and only a
newer version of a device is applied. A replica is ready once a whole snapshot has been applied by any of them, ever:
from then on auth may be away, and what is known still holds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

import grpc
from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.upsert import upsert_newer
from chassis.wire import moment
from hadir.auth.v1 import people_pb2, roster_service_pb2, roster_service_pb2_grpc
from services.checkin.adapters.devices import DeviceCache

logger = logging.getLogger(__name__)

# auth sends a sign of life every 15 s; three missed ones mean the stream is dead.
_SILENCE_SECONDS = 45.0
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)

_LOAD = text(
    "SELECT device_id, revoked_at FROM checkin.devices WHERE revoked_at IS NOT NULL AND regency = :regency"
)
_STATE = text("SELECT resume_token, complete FROM checkin.device_feed WHERE regency = :regency")
_UPSERT = upsert_newer(
    "checkin.devices",
    key=("device_id",),
    columns={
        "device_id": "uuid",
        "regency": "text",
        "person_id": "uuid",
        "public_key": "bytea",
        "revoked_at": "timestamptz",
        "version": "bigint",
    },
)
_SAVE = text(
    """
    INSERT INTO checkin.device_feed AS f (regency, resume_token, complete, updated_at)
    VALUES (:regency, :token, :complete, :now)
    ON CONFLICT (regency) DO UPDATE SET resume_token = excluded.resume_token,
        complete = f.complete OR excluded.complete, updated_at = excluded.updated_at
    """
)


class DeviceFeed:
    """Follows auth's devices. The cache's complete() gates readiness and taps; the age of the news is a metric."""

    def __init__(
        self,
        engine: AsyncEngine,
        channel: grpc.aio.Channel,
        cache: DeviceCache,
        *,
        regency: str,
        now: Callable[[], datetime],
        age: Gauge,
    ) -> None:
        self._engine = engine
        self._stub = roster_service_pb2_grpc.RosterServiceStub(channel)
        self._cache = cache
        self._regency = regency
        self._now = now
        self._age = age
        self._token = ""
        self._heard: datetime | None = None
        age.set_function(self._silence)

    def current(self) -> bool:
        """True while auth is heard: what is known is fresh."""
        return self._silence() < _SILENCE_SECONDS

    def _silence(self) -> float:
        return float("inf") if self._heard is None else (self._now() - self._heard).total_seconds()

    async def load(self) -> None:
        """Load what this schema already knows: enough to be ready when a snapshot was complete before."""
        async with self._engine.connect() as connection:
            revoked = (await connection.execute(_LOAD, {"regency": self._regency})).all()
            state = (await connection.execute(_STATE, {"regency": self._regency})).one_or_none()
        self._cache.revoke({row[0]: row[1] for row in revoked})
        if state is not None:
            self._token = state[0]
            if state[1]:
                self._cache.mark_complete()

    async def run(self) -> None:
        """Follow auth until cancelled; it may be away for as long as it likes."""
        failures = 0
        loaded = False
        while True:
            try:
                if not loaded:
                    await self.load()
                    loaded = True
                async for _ in self._follow():
                    failures = 0
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "SILENT"
                logger.warning("the device feed ended (%s); trying again", code)
            await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            failures += 1

    async def _follow(self) -> AsyncIterator[None]:
        call = self._stub.WatchDevices(roster_service_pb2.WatchDevicesRequest(resume_token=self._token))
        try:
            while True:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    message = await call.read()
                if message is grpc.aio.EOF:
                    return
                await self._apply(cast("roster_service_pb2.WatchDevicesResponse", message))
                yield
        finally:
            call.cancel()

    async def _apply(self, message: roster_service_pb2.WatchDevicesResponse) -> None:
        if message.devices or (message.resume_token and message.resume_token != self._token):
            await self._write(message.devices, message.resume_token, caught_up=message.caught_up)
        # Memory after the commit, readiness after memory: whoever is ready knows every revocation.
        self._cache.revoke(
            {
                UUID(device.device_id): moment(device.revoked_at)
                for device in message.devices
                if device.status == people_pb2.DEVICE_STATUS_REVOKED
            }
        )
        self._token = message.resume_token or self._token
        if message.caught_up:
            self._cache.mark_complete()
        self._heard = self._now()

    async def _write(self, devices: Sequence[people_pb2.Device], token: str, *, caught_up: bool) -> None:
        async with self._engine.begin() as connection:
            if devices:
                await connection.execute(
                    _UPSERT,
                    {
                        "device_id": [UUID(device.device_id) for device in devices],
                        "regency": [device.regency for device in devices],
                        "person_id": [UUID(device.person_id) for device in devices],
                        "public_key": [device.public_key for device in devices],
                        "revoked_at": [
                            moment(device.revoked_at) if device.HasField("revoked_at") else None
                            for device in devices
                        ],
                        "version": [device.version for device in devices],
                    },
                )
            if token:
                await connection.execute(
                    _SAVE,
                    {"regency": self._regency, "token": token, "complete": caught_up, "now": self._now()},
                )
