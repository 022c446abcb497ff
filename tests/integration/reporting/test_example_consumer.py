"""The example consumer of docs/events.md, run as its readers run it: a process, with the consumer's own NATS user."""

import asyncio
import json
import os
import random
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats as nats_py
import pytest

from chassis.jetstream import STREAM, subject
from tests.integration.reporting.world import Stream, new_regency, person, person_id, tap
from tests.outboxes import until
from tests.parts import Nats

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "consumer" / "consumer.py"


class Example:
    """The program, with a place in the stream and a file of its own."""

    def __init__(self, nats: Nats, state: Path, regency: str) -> None:
        self.state = state
        self.regency = regency
        url = nats.url.replace("nats://", f"nats://consumer:{nats.password('consumer')}@")
        self.env = {
            **os.environ,
            "NATS_URL": url,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "gen"))),
        }

    async def start(self, *options: str, durable: str = "one") -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLE),
            *("--durable", f"example-{durable}-{self.regency}"),
            *("--state", str(self.state), "--subject", f"hadir.v1.{self.regency}.>"),
            *options,
            env=self.env,
            stderr=asyncio.subprocess.PIPE,
        )

    async def once(self, *options: str, durable: str = "one") -> None:
        process = await self.start("--once", *options, durable=durable)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()

    def newest(self) -> dict[str, dict[str, Any]]:
        lines = map(json.loads, self.state.read_text().splitlines())
        return {line["aggregate"]: line for line in lines}


@pytest.fixture
def example(nats: Nats, tmp_path: Path) -> Example:
    return Example(nats, tmp_path / "state.jsonl", new_regency())


async def test_it_keeps_the_newest_of_what_comes_twice_and_in_any_order(
    example: Example, stream: Stream
) -> None:
    regency = example.regency
    versions = [person(regency, number, version=version) for number in range(3) for version in (1, 2, 3)]
    taps = [tap(regency, number) for number in range(3)]
    everything: list[Any] = [*versions, *taps, *versions[:4], *taps]
    random.Random(3).shuffle(everything)
    await stream.publish(everything, regency=regency)
    await example.once()
    newest = example.newest()
    assert len(newest) == 6
    for number in range(3):
        line = newest[f"PersonChanged {person_id(regency, number)}"]
        assert (line["version"], line["event"]["person"]["version"]) == (3, "3")
    lines = example.state.read_text().splitlines()
    assert sum('"TapAccepted' in line for line in lines) == 3


async def test_it_goes_on_where_it_was_and_after_it_was_killed(example: Example, stream: Stream) -> None:
    regency = example.regency
    await stream.publish([person(regency, number) for number in range(50)], regency=regency)
    process = await example.start()
    await until(lambda: example.state.exists() and example.state.stat().st_size)
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    # It died in the middle of a line.
    with example.state.open("ab") as state:
        state.write(b'{"aggregate": "PersonCh')
    await stream.publish([tap(regency, number) for number in range(5)], regency=regency)
    # What it had not acknowledged comes back after the acknowledgement wait; here nobody waits for that long.
    await example.once(durable="two")
    newest = example.newest()
    assert len(newest) == 55
    size = example.state.stat().st_size
    await example.once(durable="two")
    await example.once(durable="three")
    assert example.state.stat().st_size == size


async def test_it_replays_from_a_date(example: Example, stream: Stream) -> None:
    regency = example.regency
    await stream.publish([person(regency, 1)], regency=regency)
    since = datetime.now(UTC).date()
    await example.once("--since", since.isoformat())
    assert len(example.newest()) == 1
    example.state.unlink()
    await example.once("--since", (since + timedelta(days=1)).isoformat(), durable="tomorrow")
    assert example.newest() == {}
    info = await stream.client.jetstream().consumer_info(STREAM, f"example-one-{regency}")
    assert (info.num_pending, info.num_ack_pending) == (0, 0)


async def test_events_it_does_not_know_are_skipped(example: Example, stream: Stream) -> None:
    regency = example.regency
    await stream.publish([person(regency, 1)], regency=regency)
    await stream.client.jetstream().publish(
        subject(regency, "auth", "something_new"), b"?", headers={"ce-type": "hadir.events.v1.SomethingNew"}
    )
    await stream.publish([person(regency, 2)], regency=regency)
    await example.once()
    assert len(example.newest()) == 2


async def test_the_consumer_s_user_reads_and_publishes_nothing(nats: Nats) -> None:
    refusals: list[Exception] = []

    async def refused(error: Exception) -> None:
        refusals.append(error)

    client = await nats_py.connect(
        nats.url, user="consumer", password=nats.password("consumer"), error_cb=refused
    )
    await client.publish("hadir.v1.5202.checkin.tap_accepted", b"forged")
    await client.publish(f"$JS.API.STREAM.PURGE.{STREAM}", b"")
    await client.flush()
    await until(lambda: len(refusals) == 2)
    await client.close()
    assert all("permissions violation" in str(error).lower() for error in refusals)
