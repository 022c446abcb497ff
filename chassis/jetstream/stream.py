"""The one stream HADIR: its subjects and its limits, each with its reason (docs/decisions/0038-jetstream.md).

Owner: the chassis.
"""

import re
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

STREAM: Final = "HADIR"
SUBJECTS: Final = ("hadir.v1.>",)

# As long as the outbox keeps what it sent, so that the two can be compared, and a consumer that was broken on a Friday
# before a long weekend still finds everything. What is older is rebuilt from the services themselves.
MAX_AGE_SECONDS: Final = 7 * 24 * 3600.0

# 11,000 people x 6 events a day x 0.7 kB x 7 days is 0.33 GB: three times that, so that age is what binds and the disk
# is still safe when something publishes in a loop. A province sets more.
MAX_BYTES: Final = 1024**3

# One event; ours have some 300 bytes. The outbox refuses a larger one before it is written, because what the stream
# refuses would be tried for ever.
MAX_MESSAGE_BYTES: Final = 256 * 1024

# Remembered Nats-Msg-Ids: covers a relay that died between acknowledgement and its mark, and the rescheduling of its
# pod off a dead node (5 min). What comes again later is the consumers' to ignore: they are idempotent.
DUPLICATE_WINDOW_SECONDS: Final = 600.0

_REGENCY: Final = re.compile(r"[0-9]{4}")
_TOKEN: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def subject(regency: str, service: str, event: str) -> str:
    """`hadir.v1.<regency>.<service>.<event>`; `*` stands for any one of them in a consumer's filter.

    Args:
        regency: four digits, as "5202".
        service: as "checkin".
        event: snake case, as "tap_accepted".

    Raises:
        ValueError: a part has another form, so the subject would have other tokens than readers expect.
    """
    if regency != "*" and not _REGENCY.fullmatch(regency):
        raise ValueError(f"a regency is four digits: {regency!r}")
    for part in (service, event):
        if part != "*" and not _TOKEN.fullmatch(part):
            raise ValueError(f"a subject's part is snake case: {part!r}")
    return f"hadir.v1.{regency}.{service}.{event}"


def stream_config(*, replicas: int = 1, max_bytes: int = MAX_BYTES) -> StreamConfig:
    """The stream as it should be: one copy on one machine, `replicas=3` on a cluster of three servers."""
    return StreamConfig(
        name=STREAM,
        description="Events of Hadir's services; protobuf bodies, CloudEvents headers (docs/events.md)",
        subjects=list(SUBJECTS),
        # Limits, not interest or work queue: consumers come and go, and replay from a date.
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        # A full stream forgets its oldest messages, nearly always read long ago. DiscardPolicy.NEW would stop every
        # event for everybody until something expires; what was lost unread comes back from the outbox's seven days.
        discard=DiscardPolicy.OLD,
        max_age=MAX_AGE_SECONDS,
        max_bytes=max_bytes,
        max_msg_size=MAX_MESSAGE_BYTES,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        num_replicas=replicas,
        # A slip of an operator's hand must not empty it.
        deny_delete=True,
        allow_direct=True,
        # How the outbox is published: one flush to disk for a batch (chassis.jetstream.publish).
        allow_atomic=True,
    )


async def ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    """Create the stream, or bring an existing one to `config`; repeating it changes nothing, from several at once too.

    Raises:
        nats.js.errors.APIError: the server refuses (too little storage, a change it does not allow).
        nats.errors.Error: NATS is away.
    """
    assert config.name is not None  # noqa: S101 - for the type checker: stream_config sets it
    try:
        info = await js.stream_info(config.name)
    except NotFoundError:
        await js.add_stream(config)  # the same request twice is answered as one
        return
    wanted = {name: value for name, value in config.as_dict().items() if value is not None}
    present = info.config.as_dict()
    if any(present.get(name) != value for name, value in wanted.items()):
        await js.update_stream(config)
