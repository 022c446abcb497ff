"""The bounded queue in front of the group commit: orderly, first come first served, and honest when it is full.

One queue and one flusher per process. Idle, a tap is committed at once; loaded, taps gather while earlier batches are
committing, so the batch grows by itself. Over a limit a caller is refused with a time slot of its own, spaced by the
measured drain rate: those who come back form a queue, not a second herd (design, "The orderly, fast queue").
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.checkin.application.commit import Outcome
from services.checkin.domain.errors import CheckinError, OverloadedError
from services.checkin.domain.tap import AcceptedTap


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of the queue.

    length: waiting taps. age: seconds the oldest may have waited before newcomers are refused; below the edge's request
    timeout (10 s) with room for the commit. batch: rows of a transaction. in_flight: transactions at once. horizon: the
    latest slot, seconds from now; a caller beyond it asks again then.
    """

    length: int
    age: float
    batch: int
    in_flight: int
    horizon: float
    initial_rate: float


@dataclass(slots=True)
class _Waiting:
    tap: AcceptedTap
    since: float
    outcome: "asyncio.Future[Outcome]"


class Slots:
    """Hands out distinct return times, spaced by the measured drain rate.

    jitter gives a random share (0 to 1) of one spacing, so that clients which obey exactly do not fall into step.
    """

    def __init__(self, *, initial_rate: float, horizon: float, jitter: Callable[[], float]) -> None:
        self.rate = initial_rate
        self._horizon = horizon
        self._jitter = jitter
        self._last = 0.0

    def observe(self, taps: int, seconds: float) -> None:
        """Learn from a busy spell in which taps were committed within seconds."""
        if seconds > 0:
            self.rate = max(1.0, self.rate + 0.2 * (taps / seconds - self.rate))

    def next(self, now: float, depth: int) -> timedelta:
        """Time from now until the slot of one more caller behind depth waiting taps."""
        earliest = now + depth / self.rate
        if self._last > now + self._horizon:
            self._last = earliest
        self._last = max(self._last + 1.0 / self.rate, earliest)
        delay = self._last - now + self._jitter() / self.rate
        return timedelta(seconds=min(delay, self._horizon))


class TapQueue:
    """Taps waiting for the group commit. Bounded in length and age; a cancelled caller harms nobody."""

    def __init__(
        self,
        commit: Callable[[Sequence[AcceptedTap]], Awaitable[Sequence[Outcome]]],
        *,
        limits: QueueLimits,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._commit = commit
        self._limits = limits
        self._monotonic = monotonic
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._flights: set[asyncio.Task[None]] = set()
        self._landed = asyncio.Event()
        self._busy_since: float | None = None
        self._landed_in_spell = 0
        self.slots = Slots(initial_rate=limits.initial_rate, horizon=limits.horizon, jitter=jitter)
        self.refused = 0

    def depth(self) -> int:
        """Taps waiting."""
        return len(self._waiting)

    def oldest_age(self) -> float:
        """Seconds the oldest waiting tap has waited; 0 when none does."""
        return self._monotonic() - self._waiting[0].since if self._waiting else 0.0

    def in_flight(self) -> int:
        """Transactions under way."""
        return len(self._flights)

    def room(self, taps: int) -> None:
        """Check that taps more may enter now. Raises OverloadedError with a slot."""
        if len(self._waiting) + taps > self._limits.length or self.oldest_age() > self._limits.age:
            self.refused += taps
            raise OverloadedError(self.slots.next(self._monotonic(), len(self._waiting)))

    def enter(self, tap: AcceptedTap) -> "asyncio.Future[Outcome]":
        """Queue one tap. The future gives its outcome after the commit. Raises OverloadedError with a slot."""
        self.room(1)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(tap, self._monotonic(), outcome))
        self._arrived.set()
        return outcome

    async def run(self) -> None:
        """Flush until cancelled. Batches under way finish even then."""
        while True:
            await self._arrived.wait()
            while len(self._flights) >= self._limits.in_flight:
                self._landed.clear()
                await self._landed.wait()
            # One turn of the loop lets calls that are already readable join the batch.
            await asyncio.sleep(0)
            batch = self._take()
            if batch:
                self._launch(batch)
            if not self._waiting:
                self._arrived.clear()

    async def drain(self) -> None:
        """Commit everything that waits and wait for all transactions under way: for shutdown, after the last caller."""
        while self._waiting or self._flights:
            while self._waiting and len(self._flights) < self._limits.in_flight:
                self._launch(self._take())
            if self._flights:
                await asyncio.wait(self._flights, return_when=asyncio.FIRST_COMPLETED)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._limits.batch:
            waiting = self._waiting.popleft()
            if not waiting.outcome.done():
                batch.append(waiting)
        return batch

    def _launch(self, batch: list[_Waiting]) -> None:
        if self._busy_since is None:
            self._busy_since = self._monotonic()
            self._landed_in_spell = 0
        flight = asyncio.get_running_loop().create_task(self._flush(batch))
        self._flights.add(flight)
        flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._landed.set()
        if self._busy_since is None:
            return
        spell = self._monotonic() - self._busy_since
        # Half a second of work or a quiet queue closes a spell: long enough to average over commits, short enough to
        # follow a database that slows down.
        if spell >= 0.5 or not (self._waiting or self._flights):
            if self._landed_in_spell >= self._limits.batch // 10:
                self.slots.observe(self._landed_in_spell, spell)
            self._busy_since = None

    async def _flush(self, batch: list[_Waiting]) -> None:
        try:
            outcomes = await self._commit([waiting.tap for waiting in batch])
        except CheckinError as error:
            for waiting in batch:
                _refuse(waiting, error)
        except Exception as error:  # noqa: BLE001  one bad row must not fail its batch-mates: split, and find it
            if len(batch) == 1:
                _refuse(batch[0], error)
                return
            middle = len(batch) // 2
            await self._flush(batch[:middle])
            await self._flush(batch[middle:])
        else:
            self._landed_in_spell += len(batch)
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.outcome.done():
                    waiting.outcome.set_result(outcome)


def _refuse(waiting: _Waiting, error: Exception) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_exception(error)
