"""Bodies that are no messages, too large, or no text: typed at the edge and at the service, and nobody dies of them."""

import grpc
import pytest

from ops.stack.stack import Stack
from tests.integration.wire.conftest import Doors
from tests.office import Office, http_call, refused

SUBMIT = "/hadir.checkin.v1.CheckinService/SubmitTap"


def raw(channel: grpc.aio.Channel) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(SUBMIT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff" * 40, "MALFORMED_MESSAGE"),
        (b"\x0a\x7f\x01", "MALFORMED_MESSAGE"),
        # Tap.device_certificate (field 3, a string) with bytes that are no UTF-8.
        (b"\x0a\x06\x1a\x04\xc3\x28\xff\xfe", "MALFORMED_MESSAGE"),
        (b"", "INVALID_FIELDS"),
    ],
)
@pytest.mark.parametrize("over_edge", [True, False])
async def test_bytes_that_are_no_message(system: Stack, data: bytes, reason: str, over_edge: bool) -> None:
    address = system.target.edge_grpc if over_edge else system.target.grpc["checkin-1"]
    async with grpc.aio.insecure_channel(address) as channel:
        refusal = await refused(raw(channel)(data))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{not json", 400),
        (b'{"tap": {"signature": "\xc3\x28"}}', 400),
        (b'{"tap": 7}', 400),
        (b'{"tap": {"evidence": "***"}}', 400),
        (b"{}", 400),
        (b"[" * 100_000, 400),
        (b'{"tap": {"evidence": "' + b"A" * 10_000_000 + b'"}}', 413),
    ],
)
async def test_bodies_that_are_no_json_or_too_large(system: Stack, body: bytes, status: int) -> None:
    edge = system.target.edge
    assert edge is not None
    answer = await http_call(edge, "POST", "/v1/taps", body)
    assert answer.status == status
    assert answer.refusal().code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE")


async def test_a_large_message_on_direct_grpc_is_the_librarys_own_refusal(system: Stack) -> None:
    async with grpc.aio.insecure_channel(
        system.target.grpc["checkin-1"], options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await raw(channel)(b"\x0a" + b"\x80" * 10_000_000)
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_unknown_paths_and_methods_are_said_so(system: Stack) -> None:
    edge = system.target.edge
    assert edge is not None
    assert (await http_call(edge, "GET", "/v1/nothing")).refusal().code == "NOT_FOUND"
    assert (await http_call(edge, "DELETE", "/v1/taps")).status in (404, 405)


async def test_after_all_that_an_ordinary_tap_is_taken(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    for stub in (doors.edge, doors.first, doors.second):
        assert not (await stub.SubmitTap(phone.submit())).duplicate
