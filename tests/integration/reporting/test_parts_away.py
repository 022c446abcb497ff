"""PostgreSQL and NATS taken away under the running service, and given back: nothing lost, nobody restarts anything."""

import asyncio

import grpc
import pytest
from grpc_status import rpc_status

from chassis.errors import reason_of, retry_delay
from hadir.reporting.v1 import reporting_service_pb2 as pb
from tests.integration.reporting.world import MONDAY, Reporting, Stream, person, tap
from tests.outboxes import until
from tests.parts import Parts

BOARD = pb.GetBoardRequest(work_date=MONDAY.isoformat())


async def test_postgresql_away_is_told_with_a_time_to_come_back_and_loses_nothing(
    service: Reporting, stream: Stream, parts: Parts
) -> None:
    regency = service.regency
    await stream.publish((person(regency, number) for number in range(20)), regency=regency)
    await stream.publish((tap(regency, number) for number in range(5)), regency=regency)
    await service.until_present(5)
    watch = service.stub.WatchBoard(pb.WatchBoardRequest(), **service.staff())
    assert (await watch.read()).full
    await parts.stop("postgres")
    try:
        await asyncio.sleep(1.1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.GetBoard(BOARD, **service.staff())
        status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
        assert status is not None
        assert (caught.value.code(), reason_of(status)) == (
            grpc.StatusCode.UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
        )
        assert retry_delay(status) is not None
        assert await watch.code() == grpc.StatusCode.UNAVAILABLE
        await stream.publish((tap(regency, number) for number in range(5, 20)), regency=regency)
    finally:
        await parts.start("postgres")
    await service.until_present(20, seconds=40)


async def test_nats_away_leaves_the_board_readable_and_catches_up(
    service: Reporting, stream: Stream, parts: Parts
) -> None:
    regency = service.regency
    await stream.publish((person(regency, number) for number in range(4)), regency=regency)
    await stream.publish([tap(regency, 0)], regency=regency)
    await service.until_present(1)
    await parts.restart("nats")
    assert (await service.stub.GetBoard(BOARD, **service.staff())).total.present == 1
    await until(lambda: stream.client.is_connected)
    await stream.publish((tap(regency, number) for number in range(1, 4)), regency=regency)
    await service.until_present(4, seconds=40)
