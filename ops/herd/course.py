"""A run between the start and the last answer: every phone presses at its time, tries, waits, tries again. Owner: herd.

The load is open: phones do not wait for each other. One process drives them all, at some hundredths of a millisecond of
CPU each (docs/decisions/0050-herd-client.md), so that on a small machine the herd measures the stack and not itself.
"""

import asyncio
import gc
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from ops.herd.evidence import SignedTap
from ops.herd.options import Patience
from ops.herd.phones import Phone
from ops.herd.retry import Accepted, Answer, ComeBack, Failed, Stop, is_orderly, next_step
from ops.herd.wire import Try

# Phones started in one turn of the event loop: the herd begins to read answers while it still sends, as phones would.
_STARTS_PER_TURN = 32


class Renderer(Protocol):
    """Renders the tries of one tap."""

    def render(self, attempt: Try) -> bytes:
        """The bytes of one try."""


@dataclass(kw_only=True, slots=True)
class Tap:
    """One tap and what became of it. Times are seconds after the start.

    Attributes:
        phone, signed: whose, and what never changes.
        press: when the button is pressed and the first try is due.
        renderer: makes the bytes of a later try.
        first: the bytes of the first try, rendered before the start.
        tries: tries made.
        duplicate_receipts: how often the server said that it had the tap already.
        first_answer: the first try's outcome; None before.
        first_answer_at: when it came.
        answer: the last outcome; None before.
        done_at: when the receipt came, or the phone gave up; None before.
        gave_up: True when it ran out of patience.
    """

    phone: Phone
    signed: SignedTap
    press: float
    renderer: Renderer
    first: bytes
    tries: int = 0
    duplicate_receipts: int = 0
    first_answer: Answer | None = None
    first_answer_at: float | None = None
    answer: Answer | None = None
    done_at: float | None = None
    gave_up: bool = False

    @property
    def acknowledged(self) -> bool:
        """Whether it has its receipt."""
        return isinstance(self.answer, Accepted)

    @property
    def disorderly_start(self) -> bool:
        """Whether the first try got neither a receipt nor a time to come back."""
        return self.first_answer is None or not is_orderly(self.first_answer)


class Sender(Protocol):
    """One way to the edge."""

    async def send(self, request: bytes, tap_id: str) -> Answer:
        """One try. Never raises but CancelledError: trouble is an answer (`Failed`)."""

    async def close(self) -> None:
        """Lets go of connections."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CourseResult:
    """What the clock says.

    Attributes:
        seconds: from the start to the last phone's end.
        cpu_seconds: of this process in that time.
    """

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """The herd's time.

    Attributes:
        start: the monotonic clock (`time.monotonic`) at second 0.
        wall_start: the phones' wall clock at second 0 (the server's time, were the herd's own clock wrong).
    """

    start: float
    wall_start: float

    def now(self) -> float:
        """Seconds after the start; negative before it."""
        return time.monotonic() - self.start


async def run_course(
    taps: Sequence[Tap], sender: Sender, clock: Clock, *, patience: Patience, seed: int
) -> CourseResult:
    """Sends `taps` and fills in what became of each; returns when the last phone has its receipt or gave up.

    Args:
        taps: all of them; their `press` may be in any order.
        sender: the way.
        clock: its start lies in the future; this waits for it.
        patience: how phones try again.
        seed: of the phones' back-off.
    """
    order = sorted(taps, key=lambda tap: tap.press)
    chance = random.Random(seed)  # noqa: S311 - back-off
    with _quiet_memory():
        await asyncio.sleep(max(0.0, -clock.now()))
        cpu = time.process_time()
        lives = _Lives(sender=sender, clock=clock, patience=patience, chance=chance)
        async with asyncio.TaskGroup() as group:
            await _press_all(order, clock, lives, group)
        return CourseResult(seconds=clock.now(), cpu_seconds=time.process_time() - cpu)


async def _press_all(order: Sequence[Tap], clock: Clock, lives: "_Lives", group: asyncio.TaskGroup) -> None:
    started = 0
    while started < len(order):
        now, turn = clock.now(), min(len(order), started + _STARTS_PER_TURN)
        while started < turn and order[started].press <= now:
            group.create_task(lives.live(order[started]))
            started += 1
        ahead = order[started].press - now if started < len(order) else 0.0
        await asyncio.sleep(max(0.0, ahead))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lives:
    sender: Sender
    clock: Clock
    patience: Patience
    chance: random.Random = field(repr=False)

    async def live(self, tap: Tap) -> None:
        """One phone from its press to its end."""
        request, tap_id, ticket = tap.first, tap.signed.tap_id, b""
        while True:
            tap.tries += 1
            answer = await self._try(request, tap_id)
            now = self.clock.now()
            tap.answer = answer
            if tap.first_answer_at is None:
                tap.first_answer, tap.first_answer_at = answer, now
            if isinstance(answer, Accepted):
                tap.duplicate_receipts += answer.duplicate
                tap.done_at = now
                return
            step = next_step(
                answer,
                tries=tap.tries,
                since_press=now - tap.press,
                patience=self.patience,
                chance=self.chance,
            )
            match step:
                case Stop(gave_up=gave_up):
                    tap.done_at, tap.gave_up = now, gave_up
                    return
                case ComeBack(delay=delay):
                    await asyncio.sleep(delay)
            ticket = getattr(answer, "ticket", b"") or ticket
            request = self._render_again(tap, ticket)

    async def _try(self, request: bytes, tap_id: str) -> Answer:
        try:
            async with asyncio.timeout(self.patience.answer_timeout):
                return await self.sender.send(request, tap_id)
        except TimeoutError:
            return Failed("timeout")

    def _render_again(self, tap: Tap, ticket: bytes) -> bytes:
        now = self.clock.now()
        return tap.renderer.render(
            Try(
                attempt=tap.tries + 1,
                queued=now - tap.press,
                sent_wall=self.clock.wall_start + now,
                ticket=ticket,
            )
        )


@contextmanager
def _quiet_memory() -> Iterator[None]:
    """No garbage collection inside: with every request in memory, one full pass would hold all phones up at once."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
