"""Metrics: a registry that is passed in, and the port where Prometheus reads it.

Owner: chassis. Names are `hadir_...`, but for the gRPC server's own, which carry the names that dashboards and alert
rules for gRPC already know.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# 1 ms is an answer without the database; 10 s is the edge's timeout and the promise for a tap; 30 s the longest unary.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def new_registry() -> CollectorRegistry:
    """A registry of its own (nothing global), with what the process itself costs: CPU, memory, files, GC."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class MethodStats:
    """The counts of one method. Plain numbers, changed on the event loop only: see GrpcServerMetrics for the reason."""

    __slots__ = ("_buckets", "_codes", "_finished", "_seconds", "_started")

    def __init__(self) -> None:
        self._started = 0
        self._finished = 0
        self._codes: dict[str, int] = {"OK": 0}
        self._buckets = [0] * (len(LATENCY_BUCKETS) + 1)
        self._seconds = 0.0

    def begin(self) -> None:
        """A call came."""
        self._started += 1

    def end(self, code: str, seconds: float) -> None:
        """A call ended with this status code's name, after so many seconds."""
        self._finished += 1
        self._codes[code] = self._codes.get(code, 0) + 1
        self._buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def counts(self) -> Mapping[str, int]:
        """Calls ended so far, by code."""
        return dict(self._codes)

    def in_flight(self) -> int:
        """Calls being handled now."""
        return self._started - self._finished

    def histogram(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by upper bound, as Prometheus wants them, and the sum of seconds."""
        bounds = (*(str(bound) for bound in LATENCY_BUCKETS), "+Inf")
        return list(zip(bounds, map(float, accumulate(list(self._buckets))), strict=True)), self._seconds


class GrpcServerMetrics(Collector):
    """What is counted for each call: handled_total{method,code}, its duration, and how many are in flight.

    prometheus_client's own counters take a lock for every change, about 3 microseconds a call and several times that
    on a busy core; a tap's path has better use for them. So the numbers are plain here, and are put into the library's
    form when Prometheus asks.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._methods: dict[str, MethodStats] = {}
        registry.register(self)

    def method(self, name: str) -> MethodStats:
        """The counts of the method with this full name; the same object for the same name."""
        return self._methods.setdefault(name, MethodStats())

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        handled = CounterMetricFamily(
            "grpc_server_handled",
            "Calls answered, by full method name and gRPC status code.",
            labels=("method", "code"),
        )
        seconds = HistogramMetricFamily(
            "grpc_server_handling_seconds",
            "Seconds between a call's arrival at its handler and its end; for a stream, its whole life.",
            labels=("method",),
        )
        in_flight = GaugeMetricFamily("grpc_server_in_flight", "Calls being handled now.", labels=("method",))
        for name, stats in list(self._methods.items()):
            for code, count in stats.counts().items():
                handled.add_metric((name, code), count)
            buckets, total = stats.histogram()
            seconds.add_metric((name,), buckets, total)
            in_flight.add_metric((name,), stats.in_flight())
        return handled, seconds, in_flight


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
