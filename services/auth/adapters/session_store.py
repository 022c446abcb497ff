"""Challenges, devices and grants for sessions, in PostgreSQL. Owner: auth."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.rows import COLUMNS, device
from services.auth.adapters.statements import statement
from services.auth.adapters.transactions import Transactions
from services.auth.application.ports import DeviceOnFile
from services.auth.domain.units import Grant, Role, parse_unit

# Only for a device that may use it, so that nobody fills the table with ids of their own making.
_ADD_CHALLENGE: Final = statement(
    """
    WITH surplus AS (
        SELECT digest FROM auth.challenges
        WHERE regency = :regency AND device_id = :device_id
        ORDER BY expires_at DESC OFFSET :others
    ), dropped AS (
        DELETE FROM auth.challenges c USING surplus s WHERE c.regency = :regency AND c.digest = s.digest
    )
    INSERT INTO auth.challenges (regency, digest, device_id, expires_at)
    SELECT :regency, :digest, device_id, :end FROM auth.devices
    WHERE regency = :regency AND device_id = :device_id AND revoked_at IS NULL
    """,
    regency="text",
    digest="bytes",
    device_id="uuid",
    end="time",
    others="int",
)

_TAKE_CHALLENGE: Final = statement(
    """
    DELETE FROM auth.challenges
    WHERE regency = :regency AND digest = :digest AND device_id = :device_id
    RETURNING expires_at
    """,
    regency="text",
    digest="bytes",
    device_id="uuid",
)

_DEVICE: Final = statement(
    """
    SELECT {device}, p.npsn, p.active
    FROM auth.devices d JOIN auth.people p ON p.regency = d.regency AND p.person_id = d.person_id
    WHERE d.regency = :regency AND d.device_id = :device_id
    """,
    COLUMNS,
    regency="text",
    device_id="uuid",
)

_GRANTS: Final = statement(
    """
    SELECT role, unit FROM auth.grants
    WHERE regency = :regency AND person_id = :person_id
      AND valid_from <= :today AND (valid_to IS NULL OR valid_to > :today)
    LIMIT 100
    """,
    regency="text",
    person_id="uuid",
    today="date",
)

_PURGE: Final = statement(
    """
    WITH ended AS MATERIALIZED (
        SELECT digest FROM auth.challenges
        WHERE regency = :regency AND expires_at < :before ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    DELETE FROM auth.challenges c USING ended e WHERE c.regency = :regency AND c.digest = e.digest
    """,
    regency="text",
    before="time",
    most="int",
)


class PostgresSessionStore:
    """`SessionStore`."""

    def __init__(self, *, transactions: Transactions, regency: str) -> None:
        self._transactions = transactions
        self._regency = regency

    async def add_challenge(self, digest: bytes, *, device_id: UUID, end: datetime, open_bound: int) -> None:
        """See the port."""
        values = {
            "regency": self._regency,
            "digest": digest,
            "device_id": device_id,
            "end": end,
            "others": open_bound - 1,
        }

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_ADD_CHALLENGE, values)

        await self._transactions.single(work)

    async def take_challenge(self, digest: bytes, *, device_id: UUID) -> datetime | None:
        """See the port."""

        async def work(connection: AsyncConnection) -> datetime | None:
            values = {"regency": self._regency, "digest": digest, "device_id": device_id}
            end: datetime | None = (await connection.execute(_TAKE_CHALLENGE, values)).scalar_one_or_none()
            return end

        return await self._transactions.single(work)

    async def device(self, device_id: UUID) -> DeviceOnFile | None:
        """See the port."""

        async def work(connection: AsyncConnection) -> DeviceOnFile | None:
            found = await connection.execute(_DEVICE, {"regency": self._regency, "device_id": device_id})
            row = found.one_or_none()
            return None if row is None else DeviceOnFile(device(row), row.npsn, row.active)

        return await self._transactions.single(work)

    async def grants(self, person_id: UUID, *, today: date) -> Sequence[Grant]:
        """See the port."""

        async def work(connection: AsyncConnection) -> list[Grant]:
            values = {"regency": self._regency, "person_id": person_id, "today": today}
            return [
                Grant(Role(row.role), parse_unit(row.unit))
                for row in await connection.execute(_GRANTS, values)
            ]

        return await self._transactions.single(work)

    async def purge_challenges(self, *, before: datetime, most: int) -> int:
        """See the port."""

        async def work(connection: AsyncConnection) -> int:
            values = {"regency": self._regency, "before": before, "most": most}
            return (await connection.execute(_PURGE, values)).rowcount

        return await self._transactions.single(work)
