"""Plugs pulled: what is acknowledged is stored, once, and nobody restarts anything by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.tokens import device_claims, issue
from chassis.wire import timestamp
from hadir.checkin.v1 import checkin_service_pb2, checkin_service_pb2_grpc, tap_pb2
from ops.stack.stack import Stack
from tests.integration.wire.conftest import Doors
from tests.office import Office, Phone, refused, uuid7

TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.fixture
async def administrator(system: Stack) -> AsyncIterator[Callable[[], Awaitable[asyncpg.Connection]]]:
    target = system.target.database
    assert target is not None
    opened = []

    async def connect() -> asyncpg.Connection:
        connection: asyncpg.Connection = await asyncpg.connect(target.url())
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        await connection.close()


@contextmanager
def clock_at(system: Stack, moment: datetime) -> Iterator[None]:
    """Every service's clock moved to moment."""
    system.move_clock((moment - datetime.now(UTC)).total_seconds())
    try:
        yield
    finally:
        system.move_clock(0)


async def answer_within(
    call: Callable[[], Awaitable[checkin_service_pb2.SubmitTapResponse]], seconds: float
) -> checkin_service_pb2.SubmitTapResponse:
    """The first answer of a call that may be refused as unavailable for a while, as a phone would get it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in TRANSIENT or loop.time() > end:
                raise
        await asyncio.sleep(0.2)


async def count(connection: asyncpg.Connection, table: str, tap_ids: list[str]) -> int:
    found: int = await connection.fetchval(
        f"SELECT count(*) FROM {table} WHERE tap_id = ANY($1::uuid[])",  # noqa: S608  our own tables
        tap_ids,
    )
    return found


async def test_a_retry_gets_the_identical_receipt_over_midnight_month_replica_and_restart(
    office: Office, doors: Doors, system: Stack
) -> None:
    phone = await office.phone()
    now = datetime.now(UTC)
    month_end = (now.replace(day=1) + timedelta(days=32)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    ) - timedelta(milliseconds=500)
    with clock_at(system, month_end - timedelta(seconds=3)):
        await asyncio.sleep(1.5)
        request = phone.submit(phone.evidence(month_end, tap_id=str(uuid7(month_end))))
        first = await doors.first.SubmitTap(request)
        await asyncio.sleep(3.0)
        other_month = await doors.second.SubmitTap(request)
        await asyncio.to_thread(system.kill_part, "checkin-1")
        await asyncio.sleep(0.3)
        await asyncio.to_thread(system.await_part, "checkin-1")
        restarted = await answer_within(lambda: doors.first.SubmitTap(request), 20)
    again = await doors.edge.SubmitTap(request)
    assert not first.duplicate
    for answer in (other_month, restarted, again):
        assert answer.duplicate
        assert answer.receipt == first.receipt
    content = tap_pb2.ReceiptContent.FromString(first.receipt.content)
    assert content.arrival_time.ToDatetime(UTC) < month_end + timedelta(milliseconds=500)


async def test_nats_away_taps_are_acknowledged_and_published_later(
    office: Office,
    doors: Doors,
    system: Stack,
    administrator: Callable[[], Awaitable[asyncpg.Connection]],
) -> None:
    phones = [await office.phone() for _ in range(5)]
    database = await administrator()
    await asyncio.to_thread(system.stop_part, "nats")
    try:
        requests = [phone.submit() for phone in phones]
        answers = await asyncio.gather(*(doors.edge.SubmitTap(request) for request in requests))
        ids = [tap_pb2.ReceiptContent.FromString(each.receipt.content).tap_id for each in answers]
        assert await count(database, "checkin.taps", ids) == 5
        assert await count(database, "reporting.taps", ids) == 0
    finally:
        await asyncio.to_thread(system.start_part, "nats")
    for _ in range(300):
        if await count(database, "reporting.taps", ids) == 5:
            break
        await asyncio.sleep(0.1)
    assert await count(database, "reporting.taps", ids) == 5


async def test_postgres_away_nothing_is_acknowledged_and_all_recovers_by_itself(
    office: Office,
    doors: Doors,
    system: Stack,
    administrator: Callable[[], Awaitable[asyncpg.Connection]],
) -> None:
    phones = [await office.phone() for _ in range(4)]
    requests = [phone.submit() for phone in phones]
    await asyncio.to_thread(system.stop_part, "postgres")
    try:
        for stub in (doors.edge, doors.first, doors.second):
            refusal = await refused(stub.SubmitTap(requests[0]))
            assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "STORAGE_UNAVAILABLE")
            assert refusal.retry is not None
            assert 0 < refusal.retry <= 10
        # Twenty refusals are no reason to take the replicas out of the edge's rotation: the answer stays typed.
        reasons = {(await refused(doors.edge.SubmitTap(requests[0]))).reason for _ in range(20)}
        assert reasons == {"STORAGE_UNAVAILABLE"}
        states = [
            await refused(doors.edge.GetMyDay(*_my_day(phone), metadata=_proof(phone)))
            for phone in phones[:1]
        ]
        assert {state.code for state in states} == {"UNAVAILABLE"}
    finally:
        await asyncio.to_thread(system.start_part, "postgres")
    answers = [await answer_within(lambda r=request: doors.edge.SubmitTap(r), 20) for request in requests]  # type: ignore[misc]
    assert not any(answer.duplicate for answer in answers)
    ids = [tap_pb2.ReceiptContent.FromString(each.receipt.content).tap_id for each in answers]
    assert await count(await administrator(), "checkin.taps", ids) == 4


def _my_day(_phone: Phone) -> tuple[checkin_service_pb2.GetMyDayRequest]:
    return (checkin_service_pb2.GetMyDayRequest(),)


def _proof(phone: Phone) -> tuple[tuple[str, str], ...]:
    return phone.credentials("/hadir.checkin.v1.CheckinService/GetMyDay")


async def test_a_replica_killed_in_the_middle_loses_nothing_acknowledged(
    office: Office,
    doors: Doors,
    system: Stack,
    administrator: Callable[[], Awaitable[asyncpg.Connection]],
) -> None:
    phones = [await office.phone() for _ in range(10)]
    acknowledged: list[str] = []

    async def press(phone: Phone) -> None:
        for _ in range(10):
            request = phone.submit()
            answer = await answer_within(lambda r=request: doors.edge.SubmitTap(r), 20)  # type: ignore[misc]
            acknowledged.append(tap_pb2.ReceiptContent.FromString(answer.receipt.content).tap_id)

    async def pull() -> None:
        for name in ("checkin-1", "checkin-2", "reporting"):
            await asyncio.sleep(0.1)
            await asyncio.to_thread(system.kill_part, name)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(system.await_part, name)

    await asyncio.gather(pull(), *(press(phone) for phone in phones))
    assert len(set(acknowledged)) == 100
    database = await administrator()
    assert await count(database, "checkin.taps", acknowledged) == 100
    for _ in range(300):
        if await count(database, "reporting.taps", acknowledged) == 100:
            break
        await asyncio.sleep(0.1)
    assert await count(database, "reporting.taps", acknowledged) == 100


async def test_auth_away_known_and_unknown_devices_are_served(
    office: Office, doors: Doors, system: Stack
) -> None:
    phones = [await office.phone() for _ in range(3)]
    await asyncio.to_thread(system.stop_part, "auth")
    try:
        await asyncio.to_thread(system.kill_part, "checkin-2")
        await asyncio.sleep(0.3)
        await asyncio.to_thread(system.await_part, "checkin-2")
        for phone in phones:
            for stub in (doors.edge, doors.second):
                answer = await answer_within(lambda p=phone, s=stub: s.SubmitTap(p.submit()), 10)  # type: ignore[misc]
                assert not answer.duplicate
        # Certificates by a key that only auth could vouch for: all are asked to come back, none is called a forger.
        claims = device_claims(
            device_id=phones[0].device_id, school="50203000", key=phones[0].key.public_key()
        )
        unknown = [
            issue(
                ec.generate_private_key(ec.SECP256R1()),
                kind="device",
                subject=phones[0].person_id,
                regency="5202",
                now=datetime.now(UTC),
                lifetime=timedelta(days=1),
                claims=claims,
            )
            for _ in range(4)
        ]
        refusals = await asyncio.gather(
            *(
                refused(doors.first.SubmitTap(phones[0].submit(device_certificate=certificate)))
                for certificate in unknown
            )
        )
        assert {(refusal.code, refusal.reason) for refusal in refusals} == {
            ("UNAVAILABLE", "KEYS_UNAVAILABLE")
        }
        assert all(refusal.retry for refusal in refusals)
    finally:
        await asyncio.to_thread(system.start_part, "auth")


async def test_late_sync_after_a_day_offline(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    clock = await doors.edge.GetClock(
        checkin_service_pb2.GetClockRequest(device_id=phone.device_id, clock_session_id=phone.session)
    )
    assert clock.server_time.ToDatetime(UTC) - datetime.now(UTC) < timedelta(seconds=5)
    stub: checkin_service_pb2_grpc.CheckinServiceStub = doors.edge
    answer = await stub.SubmitTap(
        phone.submit(
            phone.evidence(yesterday),
            transport=tap_pb2.Transport(
                attempt=40, queued_ms=86_400_000, sent_at=timestamp(datetime.now(UTC))
            ),
        )
    )
    content = tap_pb2.ReceiptContent.FromString(answer.receipt.content)
    assert content.time_grade == tap_pb2.TIME_GRADE_CLAIMED
    assert {tap_pb2.FLAG_LATE_SYNC, tap_pb2.FLAG_LONG_DELAY} <= set(content.flags)
    assert abs(content.official_time.ToDatetime(UTC) - yesterday) < timedelta(seconds=1)
