"""Devices as a stream, by the transactions that changed them, in PostgreSQL. Owner: auth.

docs/decisions/0040-device-feed-by-transaction.md
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import rows
from services.auth.adapters.rows import COLUMNS
from services.auth.adapters.statements import statement
from services.auth.adapters.transactions import Transactions
from services.auth.application.ports import ChangesPage, FeedPosition
from services.auth.domain.people import Device

# The cluster, its timeline (a fail-over or a restore begins a new one, in which numbers repeat), database and regency.
_DATABASE: Final = """
    (SELECT to_hex(system_identifier) FROM pg_control_system())
    || '-' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    || '-' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '-' || :regency
"""
_CURSOR: Final = "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"

_PARTS: Final = {**COLUMNS, "database": _DATABASE, "cursor": _CURSOR}

_POSITION: Final = statement("SELECT {database} AS database, {cursor} AS cursor", _PARTS, regency="text")

_PAGE: Final = statement(
    """
    SELECT {device} FROM auth.devices d
    WHERE d.regency = :regency AND d.device_id > :after
    ORDER BY d.device_id LIMIT :most
    """,
    _PARTS,
    regency="text",
    after="uuid",
    most="int",
)

# One statement, so that the position is of the very snapshot that the rows are seen in; it comes without rows too.
_CHANGES: Final = statement(
    """
    WITH position AS MATERIALIZED (SELECT {database} AS database, {cursor} AS cursor),
    changed AS MATERIALIZED (
        SELECT CAST(CAST(d.changed_xid AS text) AS bigint) AS number, {device}
        FROM auth.devices d
        WHERE d.regency = :regency
          AND (d.changed_xid, d.device_id) > (CAST(CAST(:number AS text) AS xid8), :after)
        ORDER BY d.changed_xid, d.device_id LIMIT :most
    )
    SELECT position.database, position.cursor, changed.*
    FROM position LEFT JOIN changed ON true
    ORDER BY changed.number, changed.device_id
    """,
    _PARTS,
    regency="text",
    number="bigint",
    after="uuid",
    most="int",
)
_BEFORE_ALL: Final = UUID(int=0)


class PostgresDeviceFeed:
    """`DeviceFeed`. A cursor is the oldest transaction that was still running; a change's number is its transaction."""

    def __init__(self, *, transactions: Transactions, regency: str) -> None:
        self._transactions = transactions
        self._regency = regency

    async def position(self) -> FeedPosition:
        """See the port."""

        async def work(connection: AsyncConnection) -> FeedPosition:
            row = (await connection.execute(_POSITION, {"regency": self._regency})).one()
            return FeedPosition(row.database, row.cursor)

        return await self._transactions.single(work)

    async def page(self, *, after: UUID | None, limit: int) -> Sequence[Device]:
        """See the port."""

        async def work(connection: AsyncConnection) -> Sequence[Device]:
            values = {"regency": self._regency, "after": after or _BEFORE_ALL, "most": limit}
            return [rows.device(row) for row in await connection.execute(_PAGE, values)]

        return await self._transactions.single(work)

    async def changes(self, cursor: int, *, after: tuple[int, UUID] | None, limit: int) -> ChangesPage:
        """See the port."""
        number, device_id = after or (cursor, _BEFORE_ALL)
        values = {"regency": self._regency, "number": number, "after": device_id, "most": limit}

        async def work(connection: AsyncConnection) -> ChangesPage:
            found = (await connection.execute(_CHANGES, values)).all()
            position = FeedPosition(found[0].database, found[0].cursor)
            changed = [(row.number, rows.device(row)) for row in found if row.number is not None]
            return ChangesPage(position, changed)

        return await self._transactions.single(work)
