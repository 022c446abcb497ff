"""Reaching the auth service: where, as whom, and its errors in words. Owner: ops/roster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the auth service answers, and the caller's access token.

    Attributes:
        address: `host:port` or `unix:PATH` without TLS; `https://host:port` with it, trusting the system's roots (or
            those of GRPC_DEFAULT_SSL_ROOTS_FILE_PATH).
        token: a staff access token (JWT); never shown.
    """

    address: str
    token: str = field(repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries."""
        return (("authorization", f"Bearer {self.token}"),)


class ServiceRefusedError(Exception):
    """The service could not be reached or did not do it.

    Attributes:
        code: the gRPC status.
        reason: `ErrorInfo.reason`, or empty.
        message_id: what it said, Bahasa Indonesia if it did.
        message_en: the same in English, or the status's own text.
    """

    def __init__(self, code: grpc.StatusCode, reason: str, message_id: str, message_en: str) -> None:
        super().__init__(message_en)
        self.code = code
        self.reason = reason
        self.message_id = message_id
        self.message_en = message_en


@asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[grpc.aio.Channel]:
    """A channel for one command; every error of a call within is raised as `ServiceRefusedError`."""
    secure = endpoint.address.startswith("https://")
    address = endpoint.address.removeprefix("https://").removeprefix("http://")
    channel = (
        grpc.aio.secure_channel(address, grpc.ssl_channel_credentials())
        if secure
        else grpc.aio.insecure_channel(address)
    )
    async with channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from None


def _refused(error: grpc.aio.AioRpcError) -> ServiceRefusedError:
    reason = ""
    texts: dict[str, str] = {}
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))
    except (ValueError, DecodeError):
        # The details of a peer that is not ours may be anything; the status is enough then.
        status = None
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        message = error_details_pb2.LocalizedMessage()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(message):
            texts[message.locale[:2]] = message.message
    code = error.code()
    english = texts.get("en") or error.details() or code.name
    if code is grpc.StatusCode.UNAVAILABLE and not texts:
        indonesian = "Layanan tidak dapat dihubungi; periksa alamat dan apakah layanan berjalan."
    else:
        indonesian = texts.get("id", english)
    return ServiceRefusedError(code, reason, indonesian, english)
