"""An edge for tests: the real Envoy with the real configuration, fakes behind it. Owner: gateway."""

import asyncio
import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from ops.stack.services import REPLICAS
from ops.stack.stack import Stack
from tests.fakes.upstream import FakeUpstream

GET_CLOCK = "/hadir.checkin.v1.CheckinService/GetClock"

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Answer:
    """What a caller over HTTP got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        assert self.headers["content-type"] == "application/json", self
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    def detail(self, kind: str) -> dict[str, Any]:
        """The first google.rpc detail of a kind ("ErrorInfo")."""
        return next(
            detail
            for detail in self.json["details"]
            if detail["@type"] == f"type.googleapis.com/google.rpc.{kind}"
        )

    def message(self, locale: str) -> str:
        """The LocalizedMessage in a locale ("id-ID")."""
        found = [detail for detail in self.json["details"] if detail.get("locale") == locale]
        assert len(found) == 1, self.json
        return str(found[0]["message"])


@dataclass
class Edge:
    """Envoy of a stack that has nothing else, and a fake for each replica behind it."""

    stack: Stack
    upstreams: dict[str, FakeUpstream]
    tls: ssl.SSLContext | None = None

    @property
    def grpc(self) -> str:
        """As a gRPC target."""
        return self.stack.target.edge_grpc

    async def start(self) -> None:
        """The fakes, all; waits until Envoy has found them healthy."""
        await asyncio.gather(*(self._listen(name) for name in self.upstreams))
        for service, names in REPLICAS.items():
            await self.await_healthy(service, len(names))

    async def start_upstream(self, name: str) -> None:
        """One fake again; waits until Envoy has found it healthy."""
        await self._listen(name)
        service = next(service for service, names in REPLICAS.items() if name in names)
        serving = sum(1 for peer in REPLICAS[service] if self.upstreams[peer].serving)
        await self.await_healthy(service, serving)

    async def _listen(self, name: str) -> None:
        # On the socket that Envoy knows.
        await self.upstreams[name].start(f"unix:{self.stack.layout.socket(name)}")

    async def await_healthy(self, service: str, replicas: int) -> None:
        """Waits until Envoy counts so many healthy replicas."""
        wanted = f'envoy_cluster_membership_healthy{{envoy_cluster_name="{service}"}} {replicas}'
        for _ in range(200):
            if wanted in (await asyncio.to_thread(self.metrics)):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"Envoy does not count {replicas} healthy replicas of {service}")

    async def stop(self) -> None:
        """The fakes."""
        for upstream in self.upstreams.values():
            await upstream.stop()

    async def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One HTTP/1.1 request on a connection of its own, as a phone makes it."""
        return await asyncio.to_thread(self._call, method, path, body, dict(headers or {}))

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        host, port = self.grpc.rsplit(":", 1)
        if self.tls is None:
            connection = http.client.HTTPConnection(host, int(port), timeout=15)
        else:
            connection = http.client.HTTPSConnection(host, int(port), timeout=15, context=self.tls)
        try:
            # A caller whose body is refused half way is still told why.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def metrics(self) -> str:
        """What Prometheus would scrape; blocks."""
        url = self.stack.target.metrics["envoy"]
        host, path = url.removeprefix("http://").split("/", 1)
        connection = http.client.HTTPConnection(host, timeout=5)
        try:
            connection.request("GET", f"/{path}")
            return connection.getresponse().read().decode()
        finally:
            connection.close()


def new_edge(stack: Stack, tls: ssl.SSLContext | None = None) -> Edge:
    """The edge of a stack that runs Envoy only, with fakes that wait to be started."""
    return Edge(stack, {name: FakeUpstream() for names in REPLICAS.values() for name in names}, tls)


async def grpc_call(
    channel: grpc.aio.Channel, method: str, body: bytes = b"", metadata: Metadata = ()
) -> bytes:
    """A unary call with bytes, so that a test may send what no message type would."""
    call: Any = channel.unary_unary(method)
    answer: bytes = await call(body, metadata=metadata, timeout=15)
    return answer


def status_with(code: int, *details: Message) -> bytes:
    """A serialized google.rpc.Status, as a service puts it into grpc-status-details-bin."""
    status = status_pb2.Status(code=code, message="said by the service")
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status.SerializeToString()


def details_of(status: bytes) -> dict[str, Any]:
    """The details of a serialized google.rpc.Status by kind; LocalizedMessage by locale."""
    found: dict[str, Any] = {}
    for packed in status_pb2.Status.FromString(status).details:
        name = packed.type_url.rsplit(".", 1)[1]
        message: Any = getattr(error_details_pb2, name)()
        assert packed.Unpack(message)
        found[message.locale if name == "LocalizedMessage" else name] = message
    return found
