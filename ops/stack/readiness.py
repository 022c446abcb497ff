"""How each kind of part is asked whether it is ready: over the way its users take. Owner: stack."""

import http.client
import time
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2

from ops.stack.part import NotReadyError, Probe

_ASK_SECONDS = 1.0
_PAUSE_SECONDS = 0.02


def http_ok(port: int, path: str) -> Probe:
    """Ready when GET `path` on the loopback `port` answers 200."""

    def probe() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ASK_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read(200)
        except (OSError, http.client.HTTPException) as error:
            raise NotReadyError(f"GET http://127.0.0.1:{port}{path}: {error}") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise NotReadyError(f"GET http://127.0.0.1:{port}{path}: {answer.status} {body!r}")

    return probe


def grpc_serving(target: str) -> Probe:
    """Ready when grpc.health.v1 at `target` ("unix:/path", "127.0.0.1:port") says SERVING for the server."""

    def probe() -> None:
        # A fresh channel for each try: a reused one would wait out its own reconnect back-off.
        options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
        with grpc.insecure_channel(target, options=options) as channel:
            try:
                answer = channel.unary_unary(
                    "/grpc.health.v1.Health/Check",
                    request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                    response_deserializer=health_pb2.HealthCheckResponse.FromString,
                )(health_pb2.HealthCheckRequest(), timeout=_ASK_SECONDS)
            except grpc.RpcError as error:
                raise NotReadyError(f"health of {target}: {_words(error)}") from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            raise NotReadyError(f"health of {target}: {name}")

    return probe


def wait_until(probe: Probe, seconds: float, still_running: Callable[[], None]) -> float:
    """Asks until `probe` is content.

    Args:
        probe: what to ask.
        seconds: how long at most.
        still_running: raises when there is nothing left to wait for.

    Returns:
        The seconds it took.

    Raises:
        NotReadyError: the time is over; the last answer.
    """
    start = time.monotonic()
    while True:
        try:
            probe()
        except NotReadyError:
            if time.monotonic() - start > seconds:
                raise
        else:
            return time.monotonic() - start
        still_running()
        time.sleep(_PAUSE_SECONDS)


def _words(error: grpc.RpcError) -> str:
    # grpc's stubs do not say that what a call raises is a call too.
    details = getattr(error, "details", None)
    return str(details()) if callable(details) else str(error)
