"""The edge's configuration where it is arithmetic: sizes, routes, the table of refusals. Owner: gateway."""

from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from buf.validate import validate_pb2
from hadir.checkin.v1 import checkin_service_pb2
from ops.gateway.descriptors import PUBLIC_FILES, descriptor_set, methods, service_names
from ops.gateway.errors import EDGE_ERRORS, RETRY_SLOTS, local_reply_mappers, status_of
from ops.gateway.render import MAX_BODY_BYTES, EdgeConfig, Upstream, render, routes


def largest_json(field: FieldDescriptor) -> int:
    """Bytes of a field in JSON at the greatest length that its protovalidate rules allow, its name included."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    name = len(field.json_name) + len('"":,')
    if field.is_repeated:
        return name + 2 + rules.repeated.max_items * (1 + largest_value(field, rules.repeated.items))
    return name + largest_value(field, rules)


def largest_value(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> int:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        assert field.message_type is not None
        return largest_message(field.message_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        assert rules.bytes.max_len, f"{field.full_name} has no greatest length"
        return 2 + (rules.bytes.max_len + 2) // 3 * 4
    if field.type == FieldDescriptor.TYPE_STRING:
        longest = rules.string.max_len or rules.string.len
        assert longest, f"{field.full_name} has no greatest length"
        return 2 + longest
    return len('"-9223372036854775808"')


def largest_message(message: Descriptor) -> int:
    known = {
        "google.protobuf.Timestamp": '"2026-11-23T07:00:00.123456789Z"',
        "google.protobuf.Duration": '"315576000000.123456789s"',
    }
    if message.full_name in known:
        return len(known[message.full_name])
    return 2 + sum(largest_json(field) for field in message.fields)


def test_the_largest_batch_of_taps_fits_into_the_edges_limit() -> None:
    largest = largest_message(checkin_service_pb2.SubmitTapsRequest.DESCRIPTOR)
    assert largest <= MAX_BODY_BYTES
    # Not so generous either that the limit says nothing; and below gRPC's own, which refuses in another shape.
    assert largest > MAX_BODY_BYTES * 0.75
    assert MAX_BODY_BYTES < 4 * 1024 * 1024


def test_every_rpc_has_a_route_and_streams_have_no_total_timeout() -> None:
    table = routes()
    for upstream in PUBLIC_FILES:
        for method in methods(upstream):
            path = f"/{method.containing_service.full_name}/{method.name}"
            found = next(
                route["route"]
                for route in table
                if route["match"].get("path") == path or path.startswith(route["match"].get("prefix", "-"))
            )
            assert found["cluster"] == upstream
            streaming = method.client_streaming or method.server_streaming
            assert found["timeout"] == ("0s" if streaming else "10s"), path


def test_the_descriptor_set_is_complete_and_in_order() -> None:
    files = FileDescriptorSet.FromString(descriptor_set()).file
    known: set[str] = set()
    for file in files:
        assert set(file.dependency) <= known, file.name
        known.add(file.name)
    assert {"google/rpc/error_details.proto", "google/rpc/status.proto"} <= known
    services = {f"{file.package}.{service.name}" for file in files for service in file.service}
    assert services == set(service_names())


def test_every_http_status_from_400_up_has_a_refusal_in_both_languages() -> None:
    for status in (*range(404, 432), *range(500, 512), 400):
        error = next(error for error in EDGE_ERRORS if error.http[0] <= status <= error.http[1])
        assert error.code is not grpc.StatusCode.UNKNOWN
        assert error.message_id != error.message_en
    for error in EDGE_ERRORS:
        assert error.reason.startswith("EDGE_")
        # Envoy reads a percent sign as the start of a command.
        assert "%" not in error.message_id + error.message_en
        assert len(status_of(error).SerializeToString()) < 1000


def test_each_slot_is_equally_likely() -> None:
    shares = [
        filter_["runtime_filter"]["percent_sampled"]["numerator"] / 1_000_000
        for mapper in local_reply_mappers()
        if "503" in str(mapper["filter"]) and "application/grpc" not in str(mapper["filter"])
        for filter_ in mapper["filter"].get("and_filter", {}).get("filters", [])
        if "runtime_filter" in filter_
    ]
    left = 1.0
    chances = []
    for share in (*shares, 1.0):
        chances.append(left * share)
        left -= left * share
    assert len(chances) == RETRY_SLOTS
    assert chances == pytest.approx([1 / RETRY_SLOTS] * RETRY_SLOTS, rel=1e-4)


@pytest.mark.parametrize(
    ("endpoints", "complaint"),
    [
        ({"auth": ["unix:/a"]}, "upstreams must be"),
        ({"auth": ["unix:/a"], "checkin": ["dns:c:1"], "reporting": ["unix:/r"]}, "all be unix"),
        ({"auth": ["a:1"], "checkin": ["c:1"], "reporting": ["r:1"]}, "all be unix"),
    ],
)
def test_a_wrong_description_is_refused(
    endpoints: dict[str, list[str]], complaint: str, tmp_path: Path
) -> None:
    config = EdgeConfig(
        listen="127.0.0.1:1",
        metrics_listen="127.0.0.1:2",
        admin_socket=tmp_path / "admin",
        descriptors=tmp_path / "descriptors",
        upstreams={name: Upstream(endpoints=found) for name, found in endpoints.items()},
    )
    with pytest.raises(ValueError, match=complaint):
        render(config)
