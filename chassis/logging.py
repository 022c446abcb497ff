"""Logs: one JSON object a line on standard error, without personal data.

Owner: chassis. Code logs with the standard library and `extra={...}`; fields that could hold personal data or
credentials are blanked here as the last line of defence, never as a licence to pass them in (UU PDP 27/2022).
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

REDACTED = "[redacted]"

# Compared in lower case. What a person is, where a person is, and what lets somebody act as a person.
PERSONAL_KEYS = frozenset(
    {
        "nip", "nik", "nuptk", "full_name", "person_name", "teacher_name", "display_name", "person", "birth_date",
        "phone", "phone_number", "hp", "email", "address",
        "latitude", "longitude", "lat", "lon", "lng", "location", "coordinates",
        "token", "access_token", "refresh_token", "authorization", "dpop", "proof", "certificate",
        "device_certificate", "password", "secret", "activation_code", "signature", "evidence", "cookie",
    }
)  # fmt: skip

# 18 digits in a row are a NIP; three base64url parts are a JWT; what stands before an @ in a URL is a password.
_NIP = re.compile(r"(?<![0-9])[0-9]{18}(?![0-9])")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_URL_PASSWORD = re.compile(r"(?<=://)([^\s:/@]+):[^\s/@]+@")

# A log line is for reading: longer texts and deeper structures are cut, so that no message can flood the disk.
MAX_TEXT = 16_384
MAX_DEPTH = 4
MAX_ITEMS = 64

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact_text(text: str) -> str:
    """The text without numbers that look like a NIP, without tokens and without passwords in URLs; cut at MAX_TEXT."""
    cut = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."
    return _URL_PASSWORD.sub(r"\1:***@", _JWT.sub("[token]", _NIP.sub("[nip]", cut)))


def redact(value: object, *, depth: int = 0) -> Any:
    """A value as it may be logged: personal keys blanked, texts redacted, unknown types as redacted text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        return {
            str(key): REDACTED if str(key).lower() in PERSONAL_KEYS else redact(item, depth=depth + 1)
            for key, item in list(value.items())[:MAX_ITEMS]
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth=depth + 1) for item in list(value)[:MAX_ITEMS]]
    return redact_text(str(value))


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time (UTC), service, level, logger, message, the extra fields, and the exception."""

    def __init__(self, *, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter. Never raises over a value that cannot be serialized."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "service": self._service,
            "level": record.levelname,
            "logger": record.name,
            "message": redact_text(record.getMessage()),
        }
        extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        for key, value in redact(extra).items():
            line.setdefault(key, value)
        if record.exc_info:
            line["exception"] = redact_text(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = redact_text(record.stack_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(*, service: str, level: str, stream: TextIO | None = None) -> None:
    """Sends every log record of this process through JsonFormatter to the stream (standard error unless given).

    Idempotent: replaces the root logger's handlers.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter(service=service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    # Libraries whose INFO is a line per call or per message.
    for chatty in ("nats", "asyncio", "sqlalchemy.engine", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
