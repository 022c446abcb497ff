"""A revoked phone reads nothing any more: told by an event, on every replica, and after a restart."""

from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import create_engine
from hadir.reporting.v1 import reporting_service_pb2 as pb
from services.reporting.adapters import revocations
from services.reporting.adapters.revocations import KEEP, Revocations, note_revoked
from services.reporting.application.errors import RevocationsUnknownError
from services.reporting.application.ports import RevokedDevice
from services.reporting.entrypoints.consumers import DeviceEvents, ForeignEventError
from tests.integration.reporting.world import (
    MONDAY,
    Reporting,
    Stream,
    WorldClock,
    device,
    event,
    local,
    model_of,
    new_regency,
    refused,
)
from tests.outboxes import until

NOW = local("07:15:00")
ASKED = pb.ListDaysRequest(from_date=MONDAY.isoformat())


async def test_a_revoked_phone_is_turned_away_and_others_are_not(service: Reporting, stream: Stream) -> None:
    lost, kept = str(uuid4()), str(uuid4())
    for phone in (lost, kept):
        await service.stub.ListDays(ASKED, **service.teacher(1, device_id=phone))
    await stream.publish(
        [device(service.regency, kept, revoked=False, version=1), device(service.regency, lost)],
        regency=service.regency,
    )

    async def turned_away() -> bool:
        try:
            await service.stub.ListDays(ASKED, **service.teacher(1, device_id=lost))
        except grpc.aio.AioRpcError:
            return True
        return False

    await until(turned_away)
    code, reason = await refused(service.stub.ListDays(ASKED, **service.teacher(1, device_id=lost.upper())))
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "DEVICE_REVOKED")
    await service.stub.ListDays(ASKED, **service.teacher(1, device_id=kept))


async def test_what_one_replica_wrote_down_another_one_finds(engine: AsyncEngine) -> None:
    regency, first, second = new_regency(), str(uuid4()), str(uuid4())
    other = Revocations(engine, regency=regency, now=lambda: NOW)
    with pytest.raises(RevocationsUnknownError):
        other.revoked(first)
    assert await other.look()
    assert not other.revoked(first)
    events = DeviceEvents(model=model_of(regency), clock=WorldClock(NOW), regency=regency)
    for phone in (first, second):
        async with engine.begin() as connection:
            # An event that comes again, and an older one that comes late, change nothing.
            await events.apply(
                connection,
                [
                    event(device(regency, phone)),
                    event(device(regency, phone)),
                    event(device(regency, phone, revoked=False, version=1)),
                ],
            )
        assert await other.look()
        assert other.revoked(phone)
    assert other.revoked(first)
    assert not Revocations(engine, regency="0001", now=lambda: NOW).loaded


async def test_an_event_that_is_not_ours_or_no_device_is_refused(engine: AsyncEngine) -> None:
    events = DeviceEvents(model=model_of("5202"), clock=WorldClock(NOW), regency="5202")
    async with engine.begin() as connection:
        with pytest.raises(ForeignEventError):
            await events.apply(connection, [event(device("5203", str(uuid4())))])
        with pytest.raises(ValueError, match="UUID"):
            await events.apply(connection, [event(device("5202", "no id"))])


async def test_what_no_certificate_outlives_is_forgotten(engine: AsyncEngine) -> None:
    regency, old, new = new_regency(), str(uuid4()), str(uuid4())
    async with engine.begin() as connection:
        await note_revoked(connection, [RevokedDevice(old, NOW)], regency=regency, now=NOW)
    later = NOW + KEEP + timedelta(seconds=1)
    async with engine.begin() as connection:
        await note_revoked(connection, [RevokedDevice(new, later)], regency=regency, now=later)
        found = await connection.execute(
            text("SELECT device_id FROM reporting.revoked_devices WHERE regency = :regency"),
            {"regency": regency},
        )
        assert [str(one) for one in found.scalars()] == [new]


async def test_of_more_than_memory_holds_the_newest_are_held(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "MAX_IN_MEMORY", 3)
    regency, phones = new_regency(), [str(uuid4()) for _ in range(5)]
    held = Revocations(engine, regency=regency, now=lambda: NOW)
    for phone in phones:
        async with engine.begin() as connection:
            await note_revoked(connection, [RevokedDevice(phone, NOW)], regency=regency, now=NOW)
        assert await held.look()
    assert [held.revoked(phone) for phone in phones] == [False, False, True, True, True]


async def test_without_the_database_nobody_is_said_to_be_in_order() -> None:
    engine = create_engine(
        "postgresql+asyncpg://nobody@127.0.0.1:1/none", pool_size=1, application_name="test"
    )
    held = Revocations(engine, regency="5202", now=lambda: NOW)
    assert not await held.look()
    with pytest.raises(RevocationsUnknownError):
        held.revoked(str(uuid4()))
    await engine.dispose()
