"""Follows Hadir's events: keeps the newest state of each thing in a file, and may die at any moment.

Durable: the server remembers under --durable how far we are. At least once and unordered: an event may come again, an
older version after a newer one, so only a newer one counts. Acknowledged after it is on disk. A new --durable with
--since replays from that date. Read docs/events.md, then change `line_of`.

NATS_URL=nats://consumer:PASSWORD@127.0.0.1:4222 python examples/consumer/consumer.py --durable me --state me.jsonl
"""

import argparse
import asyncio
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import nats
from google.protobuf.json_format import MessageToDict
from nats.js.api import ConsumerConfig, DeliverPolicy

from hadir.events.v1 import events_pb2 as events

# For each event we want: what identifies its aggregate, and the aggregate's version.
WANTED: dict[str, Any] = {
    "TapAccepted": lambda m: (m.tap.tap_id, m.version),
    "PersonChanged": lambda m: (m.person.person_id, m.person.version),
    "DayAssessed": lambda m: (f"{m.person_id} {m.work_date}", m.revision),
}


def line_of(known: dict[str, int], event: Any) -> bytes:
    """What to write down of an event; nothing when it is not newer than what is known of its aggregate."""
    kind = (event.headers or {}).get("ce-type", "").removeprefix("hadir.events.v1.")
    if kind not in WANTED:
        return b""  # a later release may bring events that we do not know
    message = getattr(events, kind).FromString(event.data)
    aggregate, version = WANTED[kind](message)
    if known.get(f"{kind} {aggregate}", -1) >= version:
        return b""
    known[f"{kind} {aggregate}"] = version
    line = {"aggregate": f"{kind} {aggregate}", "version": version, "event": MessageToDict(message)}
    return json.dumps(line).encode() + b"\n"


async def follow(options: argparse.Namespace) -> None:
    """Reads until it is stopped; with --once until everything that is there has been read."""
    with options.state.open("a+b") as state:
        content = options.state.read_bytes()
        state.truncate(content.rfind(b"\n") + 1)  # of a line that we died in, the event comes again
        lines = map(json.loads, content.split(b"\n")[:-1])
        known = {line["aggregate"]: line["version"] for line in lines}
        client = await nats.connect(os.environ["NATS_URL"], max_reconnect_attempts=-1)
        stream = client.jetstream()
        config = ConsumerConfig(ack_wait=30, max_ack_pending=1000)
        if options.since:
            config.deliver_policy, config.opt_start_time = DeliverPolicy.BY_START_TIME, options.since
        place = await stream.pull_subscribe(options.subject, options.durable, "HADIR", config=config)
        while True:
            try:
                batch = await place.fetch(500, timeout=2)
            except TimeoutError:
                if options.once:
                    return await client.close()
                continue
            state.write(b"".join(line_of(known, event) for event in batch))
            state.flush()
            os.fsync(state.fileno())
            for event in batch:
                await event.ack()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--durable", required=True, help="name of our place in the stream")
    parser.add_argument("--state", type=Path, required=True, help="grows by a line for each newer version")
    parser.add_argument("--subject", default="hadir.v1.>", help="as hadir.v1.5202.reporting.day_assessed")
    parser.add_argument("--since", type=lambda day: datetime.fromisoformat(f"{day}T00:00Z"))
    parser.add_argument("--once", action="store_true")
    asyncio.run(follow(parser.parse_args()))
