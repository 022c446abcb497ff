"""An edge that misbehaves on purpose: a plain asyncio server, told for each try of a tap what to do. Owner: herd."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from hadir.checkin.v1 import tap_pb2

Act = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    head: str
    body: Mapping[str, Any]
    over: asyncio.Event

    @property
    def evidence(self) -> tap_pb2.TapEvidence:
        return tap_pb2.TapEvidence.FromString(base64.b64decode(self.body["tap"]["evidence"]))

    @property
    def transport(self) -> Mapping[str, Any]:
        return dict(self.body["tap"]["transport"])


@dataclass
class FakeEdge:
    """The n-th try of every tap gets the n-th act of `script`; further ones the last."""

    script: Sequence[Act]
    port: int = 0
    requests: dict[str, list[Request]] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    handlers: set[asyncio.Task[Any]] = field(default_factory=set)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.handlers.add(task)
        task.add_done_callback(self.handlers.discard)
        try:
            request = await _read(reader, self.over)
            tries = self.requests.setdefault(request.evidence.tap_id, [])
            tries.append(request)
            await self.script[min(len(tries), len(self.script)) - 1](request, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def fake_edge(*script: Act, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeEdge]:
    edge = FakeEdge(script)
    server = await asyncio.start_server(edge.handle, "127.0.0.1", 0, backlog=1024, ssl=tls)
    edge.port = server.sockets[0].getsockname()[1]
    try:
        yield edge
    finally:
        server.close()
        edge.over.set()
        await asyncio.gather(*edge.handlers)


def answer(status: int, body: bytes, *, chunked: bool = False) -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
    if not chunked:
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    middle = len(body) // 2
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:middle], body[middle:]))
    return f"{head}transfer-encoding: chunked\r\n\r\n".encode() + parts + b"0\r\n\r\n"


def receipt_json(tap_id: str, *, duplicate: bool = False) -> bytes:
    content = tap_pb2.ReceiptContent(tap_id=tap_id, work_date="2026-11-23").SerializeToString()
    receipt = {
        "content": base64.b64encode(content).decode(),
        "signature": base64.b64encode(b"s" * 64).decode(),
        "keyId": "k",
    }
    return json.dumps({"receipt": receipt, "duplicate": duplicate}).encode()


def refusal_json(code: int, reason: str, *, retry_delay: str | None = None, ticket: bytes = b"") -> bytes:
    info: dict[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "hadir",
    }
    if ticket:
        info["metadata"] = {"slot_ticket": base64.b64encode(ticket).decode()}
    details: list[Any] = [info]
    if retry_delay is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay})
    return json.dumps({"code": code, "message": "x", "details": details}).encode()


async def receipt(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(200, receipt_json(request.evidence.tap_id)))


async def receipt_in_chunks(request: Request, writer: asyncio.StreamWriter) -> None:
    whole = answer(200, receipt_json(request.evidence.tap_id), chunked=True)
    for start in range(0, len(whole), 50):
        writer.write(whole[start : start + 50])
        await writer.drain()
        await asyncio.sleep(0)


async def stored_before(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(200, receipt_json(request.evidence.tap_id, duplicate=True)))


async def somebody_elses_receipt(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(200, receipt_json("01935f42-0000-7000-8000-000000000000")))


def refuse(
    status: int, code: int, reason: str, *, retry_delay: str | None = None, ticket: bytes = b""
) -> Act:
    async def act(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(status, refusal_json(code, reason, retry_delay=retry_delay, ticket=ticket)))

    return act


def say(raw: bytes) -> Act:
    async def act(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return act


async def reset(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang_up(_request: Request, _writer: asyncio.StreamWriter) -> None:
    pass


async def half_an_answer(request: Request, writer: asyncio.StreamWriter) -> None:
    whole = answer(200, receipt_json(request.evidence.tap_id))
    writer.write(whole[: len(whole) // 2])


async def never(request: Request, _writer: asyncio.StreamWriter) -> None:
    await request.over.wait()


async def _read(reader: asyncio.StreamReader, over: asyncio.Event) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(
        int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")
    )
    return Request(head, json.loads(await reader.readexactly(length)), over)
