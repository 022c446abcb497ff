"""Channels between services: kept alive, bounded in time, retried where that is safe, with the service's own token.

Owner: chassis. Why these numbers: docs/decisions/0033-grpc-clients.md.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc

# No answer with one message takes longer than the server's own limit.
DEFAULT_TIMEOUT = timedelta(seconds=10)

# Only UNAVAILABLE: it says that nothing was done. RESOURCE_EXHAUSTED is for who was told when to come back, and then
# gRPC's client obeys the pushback of an answer that is retryable by this list only; our callers handle it themselves.
SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        # A peer that is down gets fewer retries, not more of them.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
)

MAX_RECEIVE_BYTES = 4 * 1024 * 1024
# Details of an error come in trailers, beside whatever else is there.
MAX_METADATA_BYTES = 16 * 1024


class TokenFile:
    """A token in a file, read again when the file changes, so that a rotated token needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    def __call__(self) -> str:
        """The token as it is now.

        Raises:
            OSError: the file cannot be read, and never could.
        """
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._token = self._path.read_text(encoding="ascii").strip()
                self._seen = seen
        except OSError:
            # Replaced just now, perhaps: the last one still holds until it expires.
            if not self._token:
                raise
        return self._token


def channel(
    target: str,
    *,
    token_file: Path | None = None,
    timeout: timedelta = DEFAULT_TIMEOUT,
    user_agent: str = "hadir",
    credentials: grpc.ChannelCredentials | None = None,
    options: tuple[tuple[str, Any], ...] = (),
) -> grpc.aio.Channel:
    """A channel to another service.

    Args:
        target: "host:port", "dns:///name:port" or "unix:/path".
        token_file: the file with our own service token, sent as a bearer token with each call.
        timeout: for calls with one answer that state no deadline; streams have none of their own.
        user_agent: who we are, for the peer's logs.
        credentials: TLS; plain text unless given.
        options: more channel options.

    The channel connects when it is first used, waits for no peer, and is closed by its owner.
    """
    token = TokenFile(token_file) if token_file is not None else None
    arguments: dict[str, Any] = {
        "options": (*_OPTIONS, ("grpc.primary_user_agent", user_agent), *options),
        "interceptors": _interceptors(token, timeout.total_seconds()),
    }
    if credentials is not None:
        return grpc.aio.secure_channel(target, credentials, **arguments)
    return grpc.aio.insecure_channel(target, **arguments)


_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    # The server permits a ping every 10 s; a peer whose machine is gone is found out within 30 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A peer that restarts is back within seconds; gRPC's own limit of two minutes would keep us away from it.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    # All replicas of a name, in turn.
    ("grpc.lb_policy_name", "round_robin"),
)


class _Interceptor:
    """Adds the token and, to calls with one answer, the deadline."""

    def __init__(self, token: Callable[[], str] | None, timeout: float | None) -> None:
        self._token = token
        self._timeout = timeout

    def _details(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if self._token is not None and metadata.get("authorization") is None:
            metadata.add("authorization", f"Bearer {self._token()}")
        timeout = details.timeout if details.timeout is not None else self._timeout
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )


class _UnaryUnary(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._details(client_call_details), request)


class _UnaryStream(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._details(client_call_details), request)


class _StreamUnary(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await continuation(self._details(client_call_details), request_iterator)


class _StreamStream(_Interceptor, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await continuation(self._details(client_call_details), request_iterator)


def _interceptors(token: Callable[[], str] | None, timeout: float) -> list[grpc.aio.ClientInterceptor]:
    return [
        _UnaryUnary(token, timeout),
        _UnaryStream(token, None),
        _StreamUnary(token, None),
        _StreamStream(token, None),
    ]
