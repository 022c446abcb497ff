"""Metrics: a registry that is passed in, and the port where Prometheus reads it.

Owner: chassis. Names are `hadir_...`, but for the gRPC server's own, which carry the names that dashboards and alert
rules for gRPC already know.
"""

from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

# 1 ms is an answer without the database; 10 s is the edge's timeout and the promise for a tap; 30 s the longest unary.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def new_registry() -> CollectorRegistry:
    """A registry of its own (nothing global), with what the process itself costs: CPU, memory, files, GC."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class GrpcServerMetrics:
    """What is counted for each call: handled_total{method,code}, its duration, and how many are in flight."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.handled = Counter(
            "grpc_server_handled_total",
            "Calls answered, by full method name and gRPC status code.",
            ("method", "code"),
            registry=registry,
        )
        self.seconds = Histogram(
            "grpc_server_handling_seconds",
            "Seconds between a call's arrival at its handler and its end; for a stream, its whole life.",
            ("method",),
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "grpc_server_in_flight", "Calls being handled now.", ("method",), registry=registry
        )


class TaskMetrics:
    """What is counted for supervised background tasks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.crashes = Counter(
            "hadir_task_crashes_total",
            "Background tasks that ended by an exception or unasked, and were restarted.",
            ("task",),
            registry=registry,
        )
        self.running = Gauge(
            "hadir_task_running", "1 while a background task runs, 0 while it waits to be restarted.",
            ("task",),
            registry=registry,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """The listener Prometheus reads; it answers from a thread of its own, so that a scrape never waits for the loop."""

    host: str
    port: int
    _server: WSGIServer
    _thread: Thread

    def close(self) -> None:
        """Stops listening. Idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def start_metrics_server(registry: CollectorRegistry, listen: str) -> MetricsServer:
    """Serves the registry at http://HOST:PORT/metrics; port 0 takes a free one (see the result's port).

    Raises:
        OSError: the address cannot be bound.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    server, thread = start_http_server(int(port), addr=host, registry=registry)
    return MetricsServer(host=host, port=int(server.server_port), _server=server, _thread=thread)
