"""The transactional outbox: an event is a row of the same transaction as the change that it tells.

Owner: the chassis. `store` writes the rows, `relay` takes them to JetStream. The table is made by
`chassis.migrations.create_outbox`. docs/decisions/0037-outbox.md.
"""

from chassis.outbox.relay import OutboxRelay
from chassis.outbox.store import EventTooLargeError, OutboxEvent, enqueue

__all__ = ["EventTooLargeError", "OutboxEvent", "OutboxRelay", "enqueue"]
