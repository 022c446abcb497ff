"""docs/events.md and docs/asyncapi.yaml say what the protos say and what the services publish."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.jetstream import STREAM, cloud_event_headers, stream_config, subject
from chassis.jetstream.stream import DUPLICATE_WINDOW_SECONDS, MAX_AGE_SECONDS, MAX_BYTES, MAX_MESSAGE_BYTES
from hadir.events.v1 import events_pb2
from tests.integration.reporting.world import local

ROOT = Path(__file__).resolve().parents[3]
API: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
PAGE = (ROOT / "docs" / "events.md").read_text()
PROTO = (ROOT / "protos" / "hadir" / "events" / "v1" / "events.proto").read_text()

# "// PersonChanged (auth, person_changed): ..." stands above each event.
EVENTS = {
    message: (service, event)
    for message, service, event in re.findall(r"^// (\w+) \((\w+), (\w+)\):", PROTO, re.MULTILINE)
}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    node: Any = API
    for step in reference.removeprefix("#/").split("/"):
        node = node[step.replace("~1", "/").replace("~0", "~")]
    return node


def test_the_protos_name_every_event() -> None:
    assert len(EVENTS) == 8
    assert set(EVENTS) <= set(events_pb2.DESCRIPTOR.message_types_by_name)


def test_it_is_asyncapi_3_with_what_that_demands() -> None:
    assert API["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(API["info"])
    for server in API["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for channel in API["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel["parameters"])
    for operation in API["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert operation["channel"]["$ref"].startswith("#/channels/")
        channel = resolve(operation["channel"]["$ref"])
        for message in operation["messages"]:
            # An operation's messages are its channel's, not the components'.
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
            assert message["$ref"].rsplit("/", 1)[1] in channel["messages"]


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(API)):
        if reference.startswith("#/"):
            assert resolve(reference)
        else:
            assert (ROOT / "docs" / reference).resolve().is_file()


def test_channels_are_the_subjects_of_the_protos() -> None:
    documented = {next(iter(channel["messages"])): channel["address"] for channel in API["channels"].values()}
    assert documented == {
        message: subject("5202", service, event).replace("5202", "{regency}")
        for message, (service, event) in EVENTS.items()
    }
    assert set(API["components"]["messages"]) == set(EVENTS)
    for message, described in API["components"]["messages"].items():
        assert described["name"] == f"hadir.events.v1.{message}"


@pytest.mark.parametrize("message", EVENTS)
def test_aggregate_and_version_are_fields(message: str) -> None:
    described = API["components"]["messages"][message]
    words = f"{described['x-aggregate']} {described['x-version']}"
    named = [
        path for path in re.findall(r"[a-z_.]+", words) if path.count("_") or "." in path or path == "version"
    ]
    assert named
    for path in named:
        fields: Any = events_pb2.DESCRIPTOR.message_types_by_name[message]
        for step in path.split("."):
            fields = fields.fields_by_name[step].message_type


def test_the_page_has_a_row_for_each_event() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", PAGE, re.MULTILINE))
    assert rows == {message: f"{service}.{event}" for message, (service, event) in EVENTS.items()}


def test_the_headers_are_those_that_are_sent() -> None:
    sent = cloud_event_headers(
        msg_id="x",
        event_type="hadir.events.v1.DayAssessed",
        source="/hadir/5202/reporting",
        occurred_at=local("06:58:03"),
    )
    described = API["components"]["schemas"]["headers"]
    assert set(described["required"]) == set(sent) == set(described["properties"])
    for name, schema in described["properties"].items():
        if "const" in schema:
            assert sent[name] == schema["const"]
        if "pattern" in schema:
            assert re.fullmatch(schema["pattern"], sent[name])
        assert f"`{name}`" in PAGE


def test_what_the_services_publish_is_documented_and_told_as_present() -> None:
    published = set()
    for source in (ROOT / "services").rglob("*.py"):
        service = source.relative_to(ROOT / "services").parts[0]
        for owner, event in re.findall(r'subject\([\w.]+, "(\w+)", "(\w+)"\)', source.read_text()):
            if owner == service:
                published.add((owner, event))
    later = {
        message for message in EVENTS if re.search(rf"`{message}` \|[^|]*\| \*\(later release\)\*", PAGE)
    }
    present = {EVENTS[message] for message in EVENTS if message not in later}
    assert ("reporting", "day_assessed") in published
    assert published <= set(EVENTS.values())
    assert published <= present
    for message in later:
        operation = API["operations"][f"publish{message}"]
        assert operation["description"].startswith("Reserved")


def test_the_limits_are_those_of_the_stream() -> None:
    assert stream_config().name == STREAM == "HADIR"
    assert f"| age | {MAX_AGE_SECONDS / 86400:.0f} days |" in PAGE
    assert f"| size | {MAX_BYTES / 1024**3:.0f} GiB |" in PAGE
    assert f"| one message | {MAX_MESSAGE_BYTES / 1024:.0f} KiB |" in PAGE
    assert f"| repetition window | {DUPLICATE_WINDOW_SECONDS / 60:.0f} min |" in PAGE


def test_the_example_is_short_and_knows_its_events() -> None:
    source = (ROOT / "examples" / "consumer" / "consumer.py").read_text()
    assert len(source.splitlines()) <= 80
    wanted = set(re.findall(r'^    "(\w+)": lambda', source, re.MULTILINE))
    assert wanted <= set(EVENTS)
