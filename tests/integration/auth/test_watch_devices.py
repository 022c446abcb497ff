"""WatchDevices: snapshot, changes, resuming, and the transaction that commits late."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from hadir.auth.v1 import people_pb2
from hadir.auth.v1 import roster_service_pb2 as pb
from tests.integration.auth.world import PEOPLE, Auth, Phone, reason, refused

Batch = pb.WatchDevicesResponse


@asynccontextmanager
async def watching(world: Auth, token: str = "") -> AsyncIterator[Any]:
    call = world.roster.WatchDevices(pb.WatchDevicesRequest(resume_token=token), metadata=world.service())
    try:
        yield call
    finally:
        call.cancel()


async def until(call: Any, done: Callable[[Batch], bool]) -> list[Batch]:
    batches: list[Batch] = []
    async with asyncio.timeout(10):
        async for batch in call:
            batches.append(batch)
            if done(batch):
                return batches
    raise AssertionError("the stream ended")


def caught_up(batch: Batch) -> bool:
    return batch.caught_up


def devices(batches: list[Batch]) -> list[tuple[str, int]]:
    return [(device.device_id, device.version) for batch in batches for device in batch.devices]


async def many_devices(world: Auth, count: int) -> None:
    await world.administrator.execute(
        "INSERT INTO auth.people SELECT '5202', gen_random_uuid(), 'n' || i, 'own', 'A', '', 'pns', '', '', '', "
        "'50203000', true, 1, now(), now() FROM generate_series(1, $1::int) i",
        count,
    )
    await world.administrator.execute(
        "INSERT INTO auth.devices (regency, device_id, person_id, public_key, label, enrolled_at, version) "
        "SELECT regency, gen_random_uuid(), person_id, '\\x04'::bytea || sha256(person_id::text::bytea) || "
        "sha256(staff_number::bytea), '', now(), 1 FROM auth.people WHERE staff_number_kind = 'own'"
    )


async def test_nothing_bound_is_a_complete_snapshot(peopled: Auth) -> None:
    async with watching(peopled) as call:
        [first, second] = await until(call, caught_up)
    assert (first.full_snapshot, first.resume_token, len(first.devices)) == (True, "", 0)
    assert (second.full_snapshot, len(second.devices)) == (False, 0)
    assert second.resume_token


async def test_a_snapshot_comes_in_batches_and_then_each_change_once(peopled: Auth) -> None:
    await many_devices(peopled, 1203)
    code = (await peopled.codes())[PEOPLE[0][0]]
    async with watching(peopled) as call:
        batches = await until(call, caught_up)
        assert [batch.full_snapshot for batch in batches][:2] == [True, False]
        assert all(len(batch.devices) <= 500 for batch in batches)
        assert len({device for device, _ in devices(batches)}) == 1203
        answer = await peopled.enroll(code, Phone.new())
        batches = await until(call, lambda batch: bool(batch.devices))
        assert devices(batches) == [(answer.device_id, 1)]
        assert len(batches[-1].devices[0].public_key) == 65
        await peopled.roster.ReplaceDevice(
            pb.ReplaceDeviceRequest(person_id=answer.person_id, reason="r"), metadata=peopled.staff()
        )
        batches = await until(call, lambda batch: bool(batch.devices))
        assert devices(batches) == [(answer.device_id, 2)]
        assert batches[-1].devices[0].status == people_pb2.DEVICE_STATUS_REVOKED
        assert batches[-1].devices[0].HasField("revoked_at")


async def test_a_resumed_stream_tells_what_was_missed_and_no_snapshot(peopled: Auth) -> None:
    await many_devices(peopled, 3)
    async with watching(peopled) as call:
        token = (await until(call, caught_up))[-1].resume_token
    code = (await peopled.codes())[PEOPLE[0][0]]
    answer = await peopled.enroll(code, Phone.new())
    async with watching(peopled, token) as call:
        batches = await until(call, caught_up)
    assert not any(batch.full_snapshot for batch in batches)
    assert devices(batches) == [(answer.device_id, 1)]


async def test_a_long_gap_is_told_in_pages(peopled: Auth) -> None:
    async with watching(peopled) as call:
        token = (await until(call, caught_up))[-1].resume_token
    await many_devices(peopled, 1203)
    async with watching(peopled, token) as call:
        batches = await until(call, caught_up)
    assert not any(batch.full_snapshot for batch in batches)
    assert [len(batch.devices) for batch in batches] == [500, 500, 203]
    # A page in the middle leads back to where the gap began.
    assert [batch.resume_token for batch in batches[:2]] == [token, token]
    assert len(set(devices(batches))) == 1203


async def test_a_transaction_that_began_before_and_committed_after_is_told(peopled: Auth) -> None:
    """The trap of sequences: the slow one has the lower number and comes last."""
    await many_devices(peopled, 2)
    slow, quick = [
        row["device_id"]
        for row in await peopled.administrator.fetch("SELECT device_id FROM auth.devices ORDER BY 1")
    ]
    change = "UPDATE auth.devices SET revoked_at = now(), version = 2 WHERE device_id = $1"
    async with watching(peopled) as call:
        await until(call, caught_up)
        begun = peopled.administrator.transaction()
        await begun.start()
        await peopled.administrator.execute(change, slow)
        async with peopled.engine.begin() as connection:
            await connection.exec_driver_sql(change, (quick,))
        batches = await until(call, lambda batch: bool(batch.devices))
        assert devices(batches) == [(str(quick), 2)]
        # Told once, although it is looked at again while the slow one runs.
        silent = await until(call, lambda batch: not batch.devices)
        token = silent[-1].resume_token
        assert devices(silent) == []
        await begun.commit()
        batches = await until(call, lambda batch: bool(batch.devices))
        assert devices(batches) == [(str(slow), 2)]
    # Who left while the slow one ran is told too.
    async with watching(peopled, token) as call:
        assert (str(slow), 2) in devices(await until(call, caught_up))


async def test_what_is_committed_during_the_snapshot_is_not_lost(peopled: Auth) -> None:
    await many_devices(peopled, 700)
    first = await peopled.administrator.fetchval("SELECT device_id FROM auth.devices ORDER BY 1 LIMIT 1")
    async with watching(peopled) as call:
        stream = aiter(call)
        await anext(stream)
        await peopled.administrator.execute(
            "UPDATE auth.devices SET revoked_at = now(), version = 2 WHERE device_id = $1", first
        )
        batches = await until(stream, lambda batch: (str(first), 2) in devices([batch]))
    assert batches


@pytest.mark.parametrize("token", ["x", "1.other-00000001-5-5202.900", "2.a.b", "é" * 60])
async def test_a_token_of_elsewhere_gets_a_full_snapshot(peopled: Auth, token: str) -> None:
    await many_devices(peopled, 1)
    async with watching(peopled, token) as call:
        batches = await until(call, caught_up)
    assert batches[0].full_snapshot
    assert len(devices(batches)) == 1


async def test_a_token_ahead_of_the_database_gets_a_full_snapshot(peopled: Auth) -> None:
    async with watching(peopled) as call:
        token = (await until(call, caught_up))[-1].resume_token
    head, _, number = token.rpartition(".")
    async with watching(peopled, f"{head}.{int(number) + 1_000_000}") as call:
        assert (await until(call, caught_up))[0].full_snapshot


async def test_a_sign_of_life_in_silence(peopled: Auth) -> None:
    async with watching(peopled) as call:
        await until(call, caught_up)
        async with asyncio.timeout(2):
            batch = await anext(aiter(call))
    assert batch.caught_up
    assert batch.resume_token
    assert not batch.devices


async def test_streams_are_for_services_and_bounded(peopled: Auth) -> None:
    call = peopled.roster.WatchDevices(pb.WatchDevicesRequest(), metadata=peopled.staff())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(call))
    assert reason(caught.value) == "ROLE_NOT_ALLOWED"
    calls = [
        peopled.roster.WatchDevices(pb.WatchDevicesRequest(), metadata=peopled.service()) for _ in range(4)
    ]
    for call in calls:
        await until(call, caught_up)
    fifth = peopled.roster.WatchDevices(pb.WatchDevicesRequest(), metadata=peopled.service())
    assert await refused(anext(aiter(fifth))) == "TOO_MANY_STREAMS"
    calls[0].cancel()
    await asyncio.sleep(0.2)
    async with watching(peopled) as call:
        await until(call, caught_up)
    for call in calls:
        call.cancel()
