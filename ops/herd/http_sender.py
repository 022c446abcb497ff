"""Taps as JSON, one new TCP connection per try, as thousands of phones open them. Owner: herd.

HTTP is parsed by httptools (Node's llhttp), TLS is Python's ssl; this module only joins them to asyncio.
"""

import asyncio
import resource
import ssl
from typing import cast

import httptools

from ops.herd.retry import Answer, Failed
from ops.herd.wire import answer_of_http

# A receipt is below 2 KiB and an error below 4; what is longer is no answer of ours.
_LONGEST_BODY = 64 * 1024
# Left for the log, the event loop, the gRPC channels.
_OTHER_FILES = 128


class JsonSender:
    """POST /v1/taps. Open connections are bounded by the process's file limit; beyond it phones queue here."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, name: str | None = None
    ) -> None:
        """`name`: what the certificate must hold; None: the host."""
        self._host = host
        self._port = port
        self._tls = tls
        self._name = (name or host) if tls is not None else None
        self.connections = raise_file_limit() - _OTHER_FILES
        self._room = asyncio.Semaphore(self.connections)

    async def send(self, request: bytes, tap_id: str) -> Answer:
        """One try on a connection of its own."""
        loop = asyncio.get_running_loop()
        exchange = _Exchange(request, loop.create_future())
        async with self._room:
            try:
                await loop.create_connection(
                    lambda: exchange,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._name,
                )
                status, body = await exchange.answer
            except ssl.SSLError:
                return Failed("tls")
            except ConnectionRefusedError:
                return Failed("refused_connection")
            except OSError as error:
                return Failed("connection_lost" if isinstance(error, ConnectionError) else "no_connection")
            except httptools.HttpParserError:
                return Failed("unreadable")
            finally:
                exchange.close()
        return answer_of_http(status, body, tap_id)

    async def close(self) -> None:
        """Nothing stays open between tries."""


class _Exchange(asyncio.Protocol):
    """One request and its answer; `answer` brings (status, body)."""

    __slots__ = ("_body", "_parser", "_request", "_size", "_transport", "answer")

    def __init__(self, request: bytes, answer: asyncio.Future[tuple[int, bytes]]) -> None:
        self.answer = answer
        self._request = request
        self._body: list[bytes] = []
        self._size = 0
        self._parser: httptools.HttpResponseParser | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by inheritance, only by what it can do.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self.answer.done():
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionResetError("closed before the answer was whole"))

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._size += len(body)
        if self._size > _LONGEST_BODY:
            self._end(httptools.HttpParserError("answer too long"))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """httptools: the answer is whole."""
        if self._parser is not None and not self.answer.done():
            self.answer.set_result((self._parser.get_status_code(), b"".join(self._body)))

    def close(self) -> None:
        """Closes the connection, whatever its state."""
        # The parser knows this object and this object the parser: with the collector off they would stay for ever.
        self._parser = None
        self.answer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _end(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def raise_file_limit() -> int:
    """Lets this process open as many files as it may; says how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
