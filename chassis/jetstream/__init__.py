"""NATS JetStream for a service: the stream, the connection, and a durable consumer that applies in transactions.

Owner: the chassis. NATS is never on the acknowledgement path: a service starts, serves and stops without it.
docs/decisions/0038-jetstream.md and 0039-consumer.md.
"""

from chassis.jetstream.applier import Apply, ConsumerMetrics
from chassis.jetstream.connection import NatsConnection, NatsSettings, NatsUnavailableError, connect
from chassis.jetstream.consumer import PullConsumer
from chassis.jetstream.events import Event, cloud_event_headers
from chassis.jetstream.stream import STREAM, ensure_stream, stream_config, subject

__all__ = [
    "STREAM",
    "Apply",
    "ConsumerMetrics",
    "Event",
    "NatsConnection",
    "NatsSettings",
    "NatsUnavailableError",
    "PullConsumer",
    "cloud_event_headers",
    "connect",
    "ensure_stream",
    "stream_config",
    "subject",
]
