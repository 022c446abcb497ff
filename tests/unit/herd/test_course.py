import asyncio
import gc
import random
import socket
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hadir.checkin.v1 import tap_pb2
from ops.herd.course import Clock, Tap, run_course
from ops.herd.evidence import Anchor, Fence, sign_tap
from ops.herd.figures import Figures, figures
from ops.herd.http_sender import JsonSender
from ops.herd.options import Patience, Slot
from ops.herd.phones import Phone
from ops.herd.tls import tls_context
from ops.herd.wire import JsonRequest, Try
from tests.fakes import herd_edge as edge

PATIENCE = Patience(answer_timeout=0.3, total=5.0, tries=6, backoff_base=0.01, backoff_cap=0.05)


@pytest.fixture(name="taps")
def make_taps(phone: Phone, anchor: Anchor, fence: Fence) -> list[Tap]:
    taps = []
    for number in range(3):
        signed = sign_tap(
            phone,
            anchor,
            fence,
            regency="5202",
            slot=Slot.IN,
            press_wall=1_763_000_000.0,
            press_monotonic=100.0,
            chance=random.Random(number),
        )
        renderer = JsonRequest("edge", phone, signed)
        first = renderer.render(Try(attempt=1, queued=0.0, sent_wall=1_763_000_000.0))
        taps.append(Tap(phone=phone, signed=signed, press=0.01 * number, renderer=renderer, first=first))
    return taps


async def morning(taps: Sequence[Tap], port: int, *, tls: ssl.SSLContext | None = None) -> Figures:
    clock = Clock(start=time.monotonic() + 0.02, wall_start=1_763_000_000.0)
    await run_course(taps, JsonSender("127.0.0.1", port, tls), clock, patience=PATIENCE, seed=1)
    return figures(taps)


@pytest.mark.parametrize("act", [edge.receipt, edge.receipt_in_chunks])
async def test_an_ordinary_morning(taps: list[Tap], act: edge.Act) -> None:
    async with edge.fake_edge(act) as server:
        found = await morning(taps, server.port)

    assert (found.sent, found.acknowledged, found.refused, found.unanswered) == (3, 3, 0, 0)
    assert (found.retries, found.first_attempt_failures, found.reasons) == (0, 0, {"first": {}, "last": {}})
    assert 0 < found.p50_ms <= found.p99_ms < 300
    assert all(tap.done_at is not None and tap.done_at >= tap.press for tap in taps)
    assert gc.isenabled()


async def test_a_refused_phone_comes_back_at_its_slot_with_the_same_tap_and_its_ticket(
    taps: list[Tap],
) -> None:
    busy = edge.refuse(429, 8, "BUSY", retry_delay="0.2s", ticket=b"ticket")
    async with edge.fake_edge(busy, edge.receipt) as server:
        found = await morning(taps, server.port)

    assert (found.acknowledged, found.retries, found.first_attempt_failures) == (3, 3, 0)
    assert found.p50_ms >= 200
    for tap in taps:
        first, second = server.requests[tap.signed.tap_id]
        for part in ("evidence", "signature", "deviceCertificate"):
            assert first.body["tap"][part] == second.body["tap"][part]
        assert (first.transport["attempt"], second.transport["attempt"]) == (1, 2)
        assert first.transport["queuedMs"] == "0"
        assert 200 <= int(second.transport["queuedMs"]) < 1000
        assert second.transport["sentAt"] > first.transport["sentAt"]
        assert "slotTicket" not in first.transport
        assert second.transport["slotTicket"] == "dGlja2V0"


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (edge.reset, "connection_lost"),
        (edge.hang_up, "connection_lost"),
        (edge.half_an_answer, "connection_lost"),
        (edge.never, "timeout"),
        (edge.say(b"\x00\x01 this is no HTTP\r\n\r\n"), "unreadable"),
        (edge.say(edge.answer(200, b"{")), "unreadable"),
        (edge.say(edge.answer(200, b"x" * 100_000)), "unreadable"),
        (edge.say(edge.answer(503, b"no healthy upstream")), "http_503"),
        (edge.refuse(503, 14, "AWAY"), "away"),
        (edge.somebody_elses_receipt, "foreign_receipt"),
    ],
)
async def test_trouble_is_counted_and_survived(taps: list[Tap], act: edge.Act, reason: str) -> None:
    async with edge.fake_edge(act, edge.stored_before) as server:
        found = await morning(taps, server.port)

    assert (found.acknowledged, found.first_attempt_failures, found.retries) == (3, 3, 3)
    assert found.reasons == {"first": {reason: 3}, "last": {}}
    assert found.duplicate_receipts == 3


async def test_a_final_refusal_is_final(taps: list[Tap]) -> None:
    async with edge.fake_edge(edge.refuse(403, 7, "FORGED"), edge.receipt) as server:
        found = await morning(taps, server.port)

    assert (found.acknowledged, found.refused, found.retries, found.first_attempt_failures) == (0, 3, 0, 3)
    assert found.reasons["last"] == {"FORGED": 3}


async def test_a_phone_gives_up_after_its_tries(taps: list[Tap]) -> None:
    async with edge.fake_edge(edge.reset) as server:
        found = await morning(taps, server.port)

    assert (found.acknowledged, found.refused, found.unanswered, found.most_tries) == (0, 0, 3, 6)


async def test_nobody_listens(taps: list[Tap]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = await morning(taps, taken.getsockname()[1])

    assert found.unanswered == 3
    assert found.reasons["first"] == {"refused_connection": 3}


async def test_the_load_is_open(taps: list[Tap]) -> None:
    """The first phone waits for its answer; the others press all the same."""
    holding = asyncio.Event()

    async def first_waits(request: edge.Request, writer: asyncio.StreamWriter) -> None:
        if request.evidence.tap_id == taps[0].signed.tap_id:
            await holding.wait()
        elif request.evidence.tap_id == taps[2].signed.tap_id:
            holding.set()
        await edge.receipt(request, writer)

    async with edge.fake_edge(first_waits) as server:
        found = await morning(taps, server.port)

    assert (found.acknowledged, found.retries) == (3, 0)


async def test_the_bytes_sent_are_those_rendered_before_the_start(taps: list[Tap]) -> None:
    async with edge.fake_edge(edge.receipt) as server:
        await morning(taps, server.port)

    for tap in taps:
        (request,) = server.requests[tap.signed.tap_id]
        assert tap.first.startswith(request.head.encode())
        assert request.evidence == tap_pb2.TapEvidence.FromString(tap.signed.evidence)


@pytest.mark.parametrize("secure", [False, True])
def test_on_the_loop_that_a_run_uses_and_with_tls(taps: list[Tap], tmp_path: Path, secure: bool) -> None:
    async def scene() -> Figures:
        server_side = _certified(tmp_path) if secure else None
        client_side = tls_context(tmp_path / "edge.pem") if secure else None
        async with edge.fake_edge(edge.hang_up, edge.receipt_in_chunks, tls=server_side) as server:
            return await morning(taps, server.port, tls=client_side)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(scene())

    assert (found.acknowledged, found.retries) == (3, 3)
    assert found.reasons["first"] == {"connection_lost": 3}


async def test_a_certificate_that_nobody_trusts(taps: list[Tap], tmp_path: Path) -> None:
    async with edge.fake_edge(edge.receipt, tls=_certified(tmp_path)) as server:
        found = await morning(taps, server.port, tls=tls_context(None))

    assert found.reasons["last"] == {"tls": 3}


def _certified(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = directory / "edge.pem", directory / "edge.key"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, secret)
    return context
