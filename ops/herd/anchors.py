"""Time anchors: each phone asks for the clock before the morning, as the app does at its start. Owner: herd."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from rich.console import Console

from hadir.checkin.v1 import checkin_service_pb2, checkin_service_pb2_grpc
from ops.herd.evidence import Anchor
from ops.herd.phones import Phone
from ops.herd.progress import progress_bar
from ops.herd.rpc import call, for_each


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchored:
    """Anchors, and what the server's clock says.

    Attributes:
        anchors: one per phone, same order.
        ahead: seconds by which the server's clock is ahead of this machine's, by the fastest answer. Phones show the
            right time, so theirs is this machine's plus this; a stack whose clock was moved to 07:00 moves them too.
    """

    anchors: Sequence[Anchor]
    ahead: float


async def fetch_anchors(
    phones: Sequence[Phone], channels: Sequence[grpc.aio.Channel], console: Console
) -> Anchored:
    """GetClock for every phone.

    Raises:
        HerdError: checkin refused or did not answer.
    """
    stubs = [checkin_service_pb2_grpc.CheckinServiceStub(channel) for channel in channels]
    received: list[tuple[bytes, str, float, float]] = [(b"", "", 0.0, 0.0)] * len(phones)
    fastest, ahead = float("inf"), 0.0
    with progress_bar(console, "Jam server untuk tiap HP / time anchors", len(phones)) as advance:

        async def ask(number: int, phone: Phone) -> None:
            nonlocal fastest, ahead
            request = checkin_service_pb2.GetClockRequest(
                device_id=phone.device_id, clock_session_id=str(uuid.uuid4())
            )
            stub = stubs[number % len(stubs)]
            sent = time.monotonic()
            answer = await call(stub.GetClock, request, what="GetClock")
            now, wall = time.monotonic(), time.time()
            received[number] = (answer.anchor, request.clock_session_id, wall, now)
            if now - sent < fastest:
                fastest = now - sent
                server = answer.server_time.seconds + answer.server_time.nanos / 1e9
                # Both clocks at the middle of the round trip.
                ahead = server - (wall - fastest / 2)
            advance(1)

        await for_each(ask, phones)
    return Anchored(
        anchors=[
            Anchor(blob=blob, session_id=session, wall=wall + ahead, monotonic=monotonic)
            for blob, session, wall, monotonic in received
        ],
        ahead=ahead,
    )
