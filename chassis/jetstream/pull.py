"""Messages of a durable pull consumer, fetched ahead into a bounded buffer.

Owner: the chassis. nats-py's `fetch` makes a task and a UUID for each message and asks twice for each batch; here one
request stays open at the server, so that the first message does not wait and a batch is what has come meanwhile.
docs/decisions/0039-consumer.md has the figures.
"""

import asyncio
import contextlib
import json
from collections import deque
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

EXPIRES_SECONDS: Final = 30.0
HEARTBEAT_SECONDS: Final = 5.0
# Two heartbeats missed and some grace: the request is not there any more (the server restarted, the consumer went).
SILENCE_SECONDS: Final = 12.0
_HEARTBEAT: Final = "100"
_REQUEST_OVER: Final = frozenset({"404", "408"})


class PullBrokenError(Exception):
    """The consumer or its stream is not there, or nothing comes any more: look, make it anew, and open another pull."""


class Pull:
    """One open request after another to a consumer; at most twice `batch` messages in memory."""

    def __init__(self, client: Client, *, stream: str, durable: str, batch: int, linger: float = 0.0) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._batch = batch
        self._linger = linger
        self._inbox = client.new_inbox()
        self._buffer: deque[Msg] = deque()
        self._came = asyncio.Event()
        self._full = asyncio.Event()
        self._outstanding = 0
        self._heard = 0.0
        self._broken: str | None = None
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Subscribe and ask for the first messages."""
        self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        await self._ask()

    async def close(self) -> None:
        """Forget what is buffered: the server sends it again after the acknowledgement wait."""
        if self._subscription is not None and self._client.is_connected:
            await self._subscription.unsubscribe()

    async def take(self) -> list[Msg]:
        """Wait for messages: at least one, at most a batch; whatever is there, or has come after `linger` seconds.

        Raises:
            PullBrokenError: nothing will come through this pull any more.
        """
        while not self._buffer:
            if self._broken is not None:
                raise PullBrokenError(self._broken)
            if not self._client.is_connected:
                raise PullBrokenError("the connection was lost")
            self._came.clear()
            if self._outstanding == 0:
                await self._ask()
            try:
                async with asyncio.timeout(1.0):
                    await self._came.wait()
            except TimeoutError:
                if self._now() - self._heard > SILENCE_SECONDS:
                    raise PullBrokenError("nothing was heard from the consumer") from None
        if self._linger and len(self._buffer) < self._batch:
            self._full.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger):
                    await self._full.wait()
        taken = [self._buffer.popleft() for _ in range(min(self._batch, len(self._buffer)))]
        if self._outstanding == 0 and self._broken is None and self._client.is_connected:
            await self._ask()
        return taken

    async def _ask(self) -> None:
        self._outstanding = self._batch
        self._heard = self._now()
        request = {
            "batch": self._batch,
            "expires": int(EXPIRES_SECONDS * 1e9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
        }
        await self._client.publish(self._next, json.dumps(request).encode(), reply=self._inbox)

    async def _receive(self, message: Msg) -> None:
        self._heard = self._now()
        status = message.headers.get("Status") if message.headers else None
        if status is None or message.reply:
            self._buffer.append(message)
            self._outstanding = max(0, self._outstanding - 1)
            if len(self._buffer) >= self._batch:
                self._full.set()
            if self._outstanding == 0 and len(self._buffer) < self._batch:
                await self._ask()
        elif status == _HEARTBEAT:
            return
        elif status in _REQUEST_OVER:
            self._outstanding = 0
        else:
            description = (message.headers or {}).get("Description", "")
            self._outstanding = 0
            # 409 also tells of what passes: a full window of unacknowledged messages, a new leader.
            if status != "409" or "deleted" in description.lower() or "push based" in description.lower():
                self._broken = f"{status} {description}".strip()
        self._came.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
