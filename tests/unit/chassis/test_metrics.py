import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from chassis.metrics import GrpcServerMetrics, new_registry, start_metrics_server


def test_calls_are_counted_as_the_library_would() -> None:
    registry = CollectorRegistry()
    stats = GrpcServerMetrics(registry).method("/a.B/C")
    for seconds in (0.0005, 0.001, 0.02, 40.0):
        stats.begin()
        stats.end("OK", seconds)
    stats.begin()
    stats.end("UNAVAILABLE", 0.1)
    stats.begin()
    value = registry.get_sample_value
    assert value("grpc_server_handled_total", {"method": "/a.B/C", "code": "OK"}) == 4
    assert value("grpc_server_handled_total", {"method": "/a.B/C", "code": "UNAVAILABLE"}) == 1
    assert value("grpc_server_in_flight", {"method": "/a.B/C"}) == 1
    assert value("grpc_server_handling_seconds_count", {"method": "/a.B/C"}) == 5
    assert value("grpc_server_handling_seconds_sum", {"method": "/a.B/C"}) == pytest.approx(40.1215)
    buckets = {
        bound: value("grpc_server_handling_seconds_bucket", {"method": "/a.B/C", "le": bound})
        for bound in ("0.001", "0.01", "0.025", "0.1", "30.0", "+Inf")
    }
    assert buckets == {"0.001": 2, "0.01": 2, "0.025": 3, "0.1": 4, "30.0": 4, "+Inf": 5}


def test_two_listeners_count_into_the_same_method() -> None:
    metrics = GrpcServerMetrics(CollectorRegistry())
    assert metrics.method("/a.B/C") is metrics.method("/a.B/C")


def test_prometheus_reads_them_on_a_port_of_their_own() -> None:
    registry = new_registry()
    Counter("hadir_taps", "Taps.", registry=registry).inc(3)
    server = start_metrics_server(registry, "127.0.0.1:0")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    finally:
        server.close()
    assert "hadir_taps_total 3.0" in text
    assert "process_cpu_seconds_total" in text


def test_registries_are_ones_own() -> None:
    assert b"hadir" not in generate_latest(new_registry())
