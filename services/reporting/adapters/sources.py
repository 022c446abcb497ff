"""The roster and the taps, asked from the services that own them, for rebuilds. Owned by reporting."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import date, datetime

import grpc

from chassis.wire import moment
from hadir.auth.v1 import people_pb2, roster_service_pb2, roster_service_pb2_grpc
from hadir.checkin.v1 import checkin_service_pb2, checkin_service_pb2_grpc, tap_pb2
from services.reporting.adapters.messages import person_record, school_record, tap_record
from services.reporting.application.ports import RevokedDevice, TapRecord
from services.reporting.application.rebuild import RosterPage

logger = logging.getLogger(__name__)

_PAGE = 1_000
_TRIES = 4
_STREAM_SECONDS = 60.0
_PAUSE_SECONDS = 2.0
# Each stream that gave something counts as a success, so a year of taps takes as many streams as it needs.
_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


async def roster_pages(channel: grpc.aio.Channel, *, known_since: datetime) -> AsyncIterator[RosterPage]:
    """All people of the regency, by page.

    Args:
        channel: to auth, with our service token.
        known_since: since when people count as known to reporting, unless an event said earlier.

    Raises:
        grpc.aio.AioRpcError: auth refuses, or is away for longer than the channel retries.
    """
    stub = roster_service_pb2_grpc.RosterServiceStub(channel)
    token = ""
    while True:
        page = await stub.ListPeople(roster_service_pb2.ListPeopleRequest(page_size=_PAGE, page_token=token))
        yield RosterPage(
            [person_record(person, known_since=known_since) for person in page.people],
            [school_record(school, version=0) for school in page.schools],
        )
        token = page.next_page_token
        if not token:
            return


async def revoked_devices(channel: grpc.aio.Channel) -> AsyncIterator[list[RevokedDevice]]:
    """All revoked devices of the regency, by batch, from the snapshot that auth begins a watch with.

    Raises:
        grpc.aio.AioRpcError: auth refuses, is away, or takes longer than a minute.
    """
    stub = roster_service_pb2_grpc.RosterServiceStub(channel)
    watch = stub.WatchDevices(roster_service_pb2.WatchDevicesRequest(), timeout=_STREAM_SECONDS)
    async for answer in watch:
        yield [
            RevokedDevice(device.device_id.lower(), moment(device.revoked_at))
            for device in answer.devices
            if device.status == people_pb2.DEVICE_STATUS_REVOKED
        ]
        if answer.caught_up:
            watch.cancel()
            return


async def tap_pages(
    channel: grpc.aio.Channel, *, first: date | None, last: date | None
) -> AsyncIterator[list[TapRecord]]:
    """All taps of these work dates, by batch; a stream that breaks, or takes too long, goes on after the last tap.

    Args:
        channel: to checkin, with our service token.
        first: first local work date; None means from the beginning.
        last: last local work date; None means to the end.

    Raises:
        grpc.aio.AioRpcError: checkin refuses, or is away for longer than some seconds.
    """
    stub = checkin_service_pb2_grpc.CheckinServiceStub(channel)
    after, failed = "", 0
    while True:
        request = checkin_service_pb2.ListTapsRequest(
            from_work_date=first.isoformat() if first else "",
            to_work_date=last.isoformat() if last else "",
            after_tap_id=after,
            include_practice=True,
        )
        try:
            async for answer in stub.ListTaps(request, timeout=_STREAM_SECONDS):
                taps = [_record(tap) for tap in answer.taps]
                if taps:
                    yield taps
                    after, failed = taps[-1].tap_id, 0
        except grpc.aio.AioRpcError as error:
            failed += 1
            if error.code() not in _PASSING or failed == _TRIES:
                raise
            logger.warning("the stream of taps broke; resuming (%d)", failed)
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return


def _record(tap: checkin_service_pb2.StoredTap) -> TapRecord:
    content = tap_pb2.ReceiptContent.FromString(tap.receipt.content)
    return tap_record(content, device_id=tap.device_id, npsn=tap.npsn, network=tap.network)
