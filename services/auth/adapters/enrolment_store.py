"""Activation codes and the binding of devices, in PostgreSQL. Owner: auth.

Two round trips for a check, one transaction for a binding, and no row that two people's enrolments share.
"""

from datetime import datetime
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import enqueue
from services.auth.adapters.events import SCHEMA, Events
from services.auth.adapters.statements import statement
from services.auth.adapters.transactions import Transactions
from services.auth.domain.activation import CodeOnFile, UsedBy
from services.auth.domain.errors import DeviceAlreadyBoundError, KeyAlreadyBoundError
from services.auth.domain.people import Device

_CODE: Final = statement(
    """
    SELECT c.person_id, p.staff_number, p.name, p.npsn, p.active, c.expires_at,
           c.voided_at IS NOT NULL AS voided,
           EXISTS (SELECT FROM auth.devices d
                   WHERE d.regency = c.regency AND d.person_id = c.person_id AND d.revoked_at IS NULL) AS has_device,
           u.device_id, u.public_key, u.revoked_at
    FROM auth.activation_codes c
    JOIN auth.people p ON p.regency = c.regency AND p.person_id = c.person_id
    LEFT JOIN auth.devices u ON u.regency = c.regency AND u.device_id = c.used_device
    WHERE c.regency = :regency AND c.digest = :digest
    """,
    regency="text",
    digest="bytes",
)

_WRONG_NUMBER: Final = statement(
    """
    UPDATE auth.activation_codes
    SET wrong_numbers = wrong_numbers + 1,
        voided_at = CASE WHEN wrong_numbers + 1 >= :bound THEN :at END
    WHERE regency = :regency AND digest = :digest AND used_at IS NULL AND voided_at IS NULL
    """,
    regency="text",
    digest="bytes",
    at="time",
    bound="int",
)

# Whoever uses the code first wins: the other waits for the row, finds it used, and inserts nothing.
_BIND: Final = statement(
    """
    WITH used AS (
        UPDATE auth.activation_codes
        SET used_at = :at, used_device = :device_id
        WHERE regency = :regency AND digest = :digest AND used_at IS NULL AND voided_at IS NULL
        RETURNING person_id
    )
    INSERT INTO auth.devices (regency, device_id, person_id, public_key, label, enrolled_at, version)
    SELECT :regency, :device_id, person_id, :public_key, :label, :at, 1 FROM used
    RETURNING device_id
    """,
    regency="text",
    digest="bytes",
    at="time",
    device_id="uuid",
    public_key="bytes",
    label="text",
)


class PostgresEnrolmentStore:
    """`EnrolmentStore`."""

    def __init__(self, *, transactions: Transactions, events: Events, regency: str) -> None:
        self._transactions = transactions
        self._events = events
        self._regency = regency

    async def code(self, digest: bytes) -> CodeOnFile | None:
        """See the port."""

        async def work(connection: AsyncConnection) -> CodeOnFile | None:
            found = await connection.execute(_CODE, {"regency": self._regency, "digest": digest})
            row = found.one_or_none()
            if row is None:
                return None
            used_by = None
            if row.device_id is not None:
                used_by = UsedBy(row.device_id, bytes(row.public_key), revoked=row.revoked_at is not None)
            return CodeOnFile(
                person_id=row.person_id,
                staff_number=row.staff_number,
                name=row.name,
                npsn=row.npsn,
                person_active=row.active,
                person_has_device=row.has_device,
                expires_at=row.expires_at,
                voided=row.voided,
                used_by=used_by,
            )

        return await self._transactions.single(work)

    async def note_wrong_number(self, digest: bytes, *, at: datetime, bound: int) -> None:
        """See the port."""

        async def work(connection: AsyncConnection) -> None:
            values = {"regency": self._regency, "digest": digest, "at": at, "bound": bound}
            await connection.execute(_WRONG_NUMBER, values)

        await self._transactions.single(work)

    async def bind(self, device: Device, *, digest: bytes, label: str) -> bool:
        """See the port."""
        event = self._events.device_changed(device, at=device.enrolled_at)

        async def work(connection: AsyncConnection) -> bool:
            values = {
                "regency": self._regency,
                "digest": digest,
                "at": device.enrolled_at,
                "device_id": device.device_id,
                "public_key": device.public_key,
                "label": label,
            }
            bound = (await connection.execute(_BIND, values)).one_or_none() is not None
            if bound:
                await enqueue(connection, SCHEMA, [event])
            return bound

        try:
            return await self._transactions.together(work)
        except IntegrityError as error:
            broken = violated(error)
            if broken == "devices_one_active":
                raise DeviceAlreadyBoundError from None
            if broken == "devices_key_once":
                raise KeyAlreadyBoundError from None
            raise


def violated(error: IntegrityError) -> str:
    """The name of the constraint or unique index that a statement broke, or ""."""
    cause: BaseException | None = error.orig
    while cause is not None:
        name = getattr(cause, "constraint_name", None)
        if isinstance(name, str):
            return name
        cause = cause.__cause__
    return ""
