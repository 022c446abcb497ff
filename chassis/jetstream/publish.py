"""Publishing a batch of messages, each at least once: atomically, with one flush to disk; one by one when refused.

Owner: the chassis. With `sync_interval: always` a message of its own costs the server a flush to disk, an atomic batch
(ADR-50, server 2.12; one flush since 2.15) costs one for all: docs/decisions/0037-outbox.md has the figures. A batch
that holds a message which the stream has already is refused as a whole; then each goes alone, and the stream says
"duplicate" of those it has.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import Header, PubAck
from nats.js.errors import APIError

# What the server answers to a message as such; 5xx speaks of the server or the stream (full, no leader).
_REFUSED_CODES: Final = range(400, 500)
_LOOK_SECONDS: Final = 1.0
_GONE: Final = (nats.errors.ConnectionClosedError, nats.errors.ConnectionDrainingError)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; `Nats-Msg-Id` among the headers."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Outcome:
    """What became of each message, by its place in the batch; what is nowhere here is to be tried again.

    Attributes:
        acked: stored by the stream, now or before.
        duplicates: how many of these it had before.
        refused: not wanted by the stream, this one alone, now and probably later.
        failure: why the others are not known to be stored.
    """

    acked: list[int] = field(default_factory=list)
    duplicates: int = 0
    refused: dict[int, Exception] = field(default_factory=dict)
    failure: Exception | None = None


async def publish(
    client: Client, context: JetStreamContext, stream: str, messages: Sequence[Outgoing], *, timeout: float
) -> Outcome:
    """Publish all, and wait for the stream's word on them. Does not raise for NATS' sake.

    It takes `timeout` seconds when the server hangs, and at most twice that and a second when it leaves a part of the
    messages without an answer (the user may not publish on their subjects).
    """
    try:
        try:
            async with asyncio.timeout(timeout):
                if await _atomically(client, stream, messages, timeout):
                    return Outcome(acked=list(range(len(messages))))
        except TimeoutError:
            # When it is the last message that may not be published, nothing commits the batch and nothing answers.
            async with asyncio.timeout(_LOOK_SECONDS):
                await context.stream_info(stream)
        return await _one_by_one(context, stream, messages, timeout=timeout)
    except (nats.errors.Error, OSError) as error:
        return Outcome(failure=error)


async def _atomically(client: Client, stream: str, messages: Sequence[Outgoing], timeout: float) -> bool:
    """All or none; False when the stream refused the batch."""
    batch = client.new_inbox()[-22:]
    last = len(messages)
    for place, message in enumerate(messages, 1):
        headers = {
            **message.headers,
            Header.EXPECTED_STREAM.value: stream,
            Header.BATCH_ID.value: batch,
            Header.BATCH_SEQUENCE.value: str(place),
        }
        try:
            if place < last:
                await client.publish(message.subject, message.payload, headers=headers)
                continue
            headers[Header.BATCH_COMMIT.value] = "1"
            # Besides the caller's timeout, because nats-py swallows a cancellation while its buffer is full.
            answer = await client.request(message.subject, message.payload, headers=headers, timeout=timeout)
        except _GONE:
            raise
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError, nats.errors.BadHeaderError):
            return False
        said = json.loads(answer.data)
        if "error" not in said:
            return bool(said.get("count") == last)
        if said["error"].get("code") not in _REFUSED_CODES:
            raise APIError(**said["error"])
    return False


async def _one_by_one(
    context: JetStreamContext, stream: str, messages: Sequence[Outgoing], *, timeout: float
) -> Outcome:
    outcome = Outcome()
    waiting: dict[asyncio.Future[PubAck], int] = {}
    for place, message in enumerate(messages):
        try:
            future = await context.publish_async(
                message.subject, message.payload, stream=stream, headers=dict(message.headers)
            )
        except _GONE as error:
            outcome.failure = error
            break
        except nats.errors.Error as error:
            outcome.refused[place] = error
            continue
        waiting[future] = place
    if waiting:
        await asyncio.wait(waiting, timeout=timeout)
    _read_answers(waiting, outcome)
    return outcome


def _read_answers(waiting: Mapping[asyncio.Future[PubAck], int], outcome: Outcome) -> None:
    silent: list[int] = []
    for future, place in waiting.items():
        if not future.done():
            # nats-py keeps the future until it is done, for ever.
            future.cancel()
            silent.append(place)
            continue
        error_of = future.exception()
        if error_of is None:
            outcome.acked.append(place)
            outcome.duplicates += bool(future.result().duplicate)
        elif isinstance(error_of, APIError) and error_of.code in _REFUSED_CODES:
            outcome.refused[place] = error_of
        elif isinstance(error_of, Exception):
            outcome.failure = error_of
    unanswered = TimeoutError("no acknowledgement from JetStream")
    if outcome.acked and outcome.failure is None:
        # The stream answered the others: no stream listens on these subjects, or the user may not publish there.
        outcome.refused.update(dict.fromkeys(silent, unanswered))
    elif silent:
        outcome.failure = outcome.failure or unanswered
