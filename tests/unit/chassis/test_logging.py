import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chassis.logging import MAX_TEXT, configure_logging

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(service="checkin", level="DEBUG", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


log = logging.getLogger("services.checkin")


def test_a_record_is_one_line_of_json(lines: Lines) -> None:
    log.info("stored %d taps\nin %s", 3, "5202", extra={"batch": 3, "seconds": 0.5, "slots": ("IN", "OUT")})
    (line,) = lines()
    assert line.pop("time").endswith("Z")
    assert line == {
        "service": "checkin",
        "level": "INFO",
        "logger": "services.checkin",
        "message": "stored 3 taps\nin 5202",
        "batch": 3,
        "seconds": 0.5,
        "slots": ["IN", "OUT"],
    }


def test_an_exception_is_in_its_line(lines: Lines) -> None:
    log.error("failed", exc_info=RuntimeError("no row for 198501012010011001"))
    (line,) = lines()
    assert line["message"] == "failed"
    assert "RuntimeError: no row for [nip]" in line["exception"]


@pytest.mark.parametrize(
    "key", ["nip", "NIP", "full_name", "phone", "latitude", "location", "token", "password"]
)
def test_personal_fields_are_blanked_at_any_depth(lines: Lines, key: str) -> None:
    log.info("x", extra={key: "Siti"})
    log.info("x", extra={"request": {"inner": [{key: {"a": "Siti"}}]}})
    assert "Siti" not in json.dumps(lines())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("NIP 198501012010011001 twice", "NIP [nip] twice"),
        ("microseconds 1785711600000000", "microseconds 1785711600000000"),
        ("Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln refused", "Bearer [token] refused"),
        ("postgresql://hadir:geheim@db:5432/hadir", "postgresql://hadir:***@db:5432/hadir"),
    ],
)
def test_texts_lose_what_looks_personal(lines: Lines, text: str, kept: str) -> None:
    log.info("%s", text, extra={"detail": text})
    (line,) = lines()
    assert line["message"] == line["detail"] == kept


def test_what_cannot_be_serialized_is_text(lines: Lines) -> None:
    log.info(
        "x", extra={"what": object(), "data": b"\xff", "none": None, "deep": {"a": {"b": {"c": {"d": {}}}}}}
    )
    (line,) = lines()
    assert line["what"].startswith("<object")
    assert line["none"] is None


def test_a_line_has_an_end(lines: Lines) -> None:
    log.info("x" * 100_000)
    (line,) = lines()
    assert len(line["message"]) < MAX_TEXT + 10


def test_an_extra_cannot_pose_as_the_line_itself(lines: Lines) -> None:
    log.info("x", extra={"service": "auth", "level": "DEBUG"})
    (line,) = lines()
    assert (line["service"], line["level"]) == ("checkin", "INFO")
