import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from hadir.checkin.v1 import checkin_service_pb2, tap_pb2
from ops.herd.evidence import SignedTap
from ops.herd.grpc_sender import BATCH, BatchSender, GrpcSender
from ops.herd.phones import Phone
from ops.herd.retry import Accepted, Failed
from ops.herd.wire import ProtobufRequest, Try


class Checkin:
    """Only what the senders call."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def SubmitTap(self, request: Any, context: Any) -> Any:
        return _accepted(request.tap)

    async def SubmitTaps(self, request: Any, context: Any) -> Any:
        self.sizes.append(len(request.taps))
        results = [checkin_service_pb2.TapResult(accepted=_accepted(tap)) for tap in request.taps]
        return checkin_service_pb2.SubmitTapsResponse(results=results)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Checkin, str]]:
    server, checkin = grpc.aio.server(), Checkin()
    handlers = {
        "SubmitTap": (checkin.SubmitTap, checkin_service_pb2.SubmitTapRequest.FromString),
        "SubmitTaps": (checkin.SubmitTaps, checkin_service_pb2.SubmitTapsRequest.FromString),
    }
    generic = grpc.method_handlers_generic_handler(
        "hadir.checkin.v1.CheckinService",
        {
            name: grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=decode,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, (method, decode) in handlers.items()
        },
    )
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield checkin, f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_a_call_each(phone: Phone, signed: SignedTap) -> None:
    request = ProtobufRequest(phone, signed).render(Try(attempt=1, queued=0.0, sent_wall=1.0))
    async with serving() as (_, address):
        sender = GrpcSender(lambda: grpc.aio.insecure_channel(address), 5.0)
        try:
            answers = await asyncio.gather(*(sender.send(request, signed.tap_id) for _ in range(40)))
            foreign = await sender.send(request, "x")
            garbage = await sender.send(b"\xff", signed.tap_id)
        finally:
            await sender.close()

    assert all(isinstance(answer, Accepted) for answer in answers)
    assert foreign == Failed("foreign_receipt")
    assert isinstance(garbage, Failed)


async def test_nobody_there(phone: Phone, signed: SignedTap) -> None:
    for make in (GrpcSender, BatchSender):
        sender = make(lambda: grpc.aio.insecure_channel("127.0.0.1:1"), 2.0)
        try:
            assert await sender.send(b"", signed.tap_id) == Failed("unavailable")
        finally:
            await sender.close()


async def test_a_gateway_sends_full_batches_and_then_what_is_left(phone: Phone, signed: SignedTap) -> None:
    request = ProtobufRequest(phone, signed).render(Try(attempt=1, queued=0.0, sent_wall=1.0))
    async with serving() as (checkin, address):
        sender = BatchSender(lambda: grpc.aio.insecure_channel(address), 5.0)
        try:
            answers = await asyncio.gather(*(sender.send(request, signed.tap_id) for _ in range(BATCH + 7)))
        finally:
            await sender.close()

    assert len(answers) == BATCH + 7
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert sorted(checkin.sizes) == [7, BATCH]


def _accepted(tap: tap_pb2.Tap) -> checkin_service_pb2.SubmitTapResponse:
    tap_id = tap_pb2.TapEvidence.FromString(tap.evidence).tap_id
    content = tap_pb2.ReceiptContent(tap_id=tap_id).SerializeToString()
    return checkin_service_pb2.SubmitTapResponse(
        receipt=tap_pb2.Receipt(content=content, signature=b"s" * 64)
    )
