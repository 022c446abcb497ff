"""Taps as gRPC calls through the edge: one each, or up to 500 in one as a gateway sends them. Owner: herd.

Calls share some HTTP/2 connections, as behind a gateway or a proxy; a connection per phone is what json is for.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError

from hadir.checkin.v1 import checkin_service_pb2
from ops.herd.retry import Answer, Failed
from ops.herd.wire import answer_of_response, answer_of_rpc_error, batch_answers

CHANNELS = 16
"""Connections. The edge allows so many streams at a time on each; more calls wait in the library."""

BATCH = 500
"""Taps in a call at most: the limit of SubmitTaps."""

LINGER = 0.2
"""Seconds a gateway keeps a batch open for more taps after its first."""

# Requests are serialized before the clock starts, so the library gets and gives bytes.
_Bytes = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

_SUBMIT_TAP = "/hadir.checkin.v1.CheckinService/SubmitTap"
_SUBMIT_TAPS = "/hadir.checkin.v1.CheckinService/SubmitTaps"


class GrpcSender:
    """SubmitTap, over `CHANNELS` connections in turn."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], answer_timeout: float) -> None:
        self._channels = [open_channel() for _ in range(CHANNELS)]
        self._calls: list[_Bytes] = [channel.unary_unary(_SUBMIT_TAP) for channel in self._channels]
        self._timeout = answer_timeout
        self._turn = 0

    async def send(self, request: bytes, tap_id: str) -> Answer:
        """One try."""
        self._turn = (self._turn + 1) % CHANNELS
        try:
            response = await self._calls[self._turn](request, timeout=self._timeout)
            return answer_of_response(checkin_service_pb2.SubmitTapResponse.FromString(response), tap_id)
        except grpc.aio.AioRpcError as error:
            return answer_of_rpc_error(error.code(), error.trailing_metadata() or ())
        except DecodeError:
            return Failed("unreadable")

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels))


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: bytes
    tap_id: str
    answer: asyncio.Future[Answer]


class BatchSender:
    """SubmitTaps: taps are collected for `LINGER` seconds or until there are `BATCH`."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], answer_timeout: float) -> None:
        self._channels = [open_channel() for _ in range(2)]
        self._calls: list[_Bytes] = [channel.unary_unary(_SUBMIT_TAPS) for channel in self._channels]
        # Shorter than the phones' own, so that theirs does not end first and hide what became of the call.
        self._timeout = max(0.1, answer_timeout - 2 * LINGER)
        self._open: list[_Waiting] = []
        self._turn = 0
        self._flights: set[asyncio.Task[None]] = set()

    async def send(self, request: bytes, tap_id: str) -> Answer:
        """One try, in whatever batch is open."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, tap_id, loop.create_future())
        self._open.append(waiting)
        if len(self._open) == 1:
            loop.call_later(LINGER, self._flush, self._open)
        if len(self._open) >= BATCH:
            self._flush(self._open)
        return await waiting.answer

    async def close(self) -> None:
        """Waits for calls under way, closes the connections."""
        await asyncio.gather(*self._flights, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def _flush(self, batch: list[_Waiting]) -> None:
        if batch is not self._open:
            return
        self._open = []
        flight = asyncio.get_running_loop().create_task(self._fly(batch))
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)

    async def _fly(self, batch: list[_Waiting]) -> None:
        answers = await self._submit(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    async def _submit(self, batch: list[_Waiting]) -> list[Answer]:
        self._turn = (self._turn + 1) % len(self._calls)
        try:
            response = await self._calls[self._turn](
                b"".join(waiting.request for waiting in batch), timeout=self._timeout
            )
            parsed = checkin_service_pb2.SubmitTapsResponse.FromString(response)
            return batch_answers(parsed, [waiting.tap_id for waiting in batch])
        except grpc.aio.AioRpcError as error:
            return [answer_of_rpc_error(error.code(), error.trailing_metadata() or ())] * len(batch)
        except DecodeError:
            return [Failed("unreadable")] * len(batch)
