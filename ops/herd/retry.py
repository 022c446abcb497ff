"""What a phone does after an answer: keep the receipt, come back, or give up. Pure. Owner: herd.

The rule is the design's: RetryInfo, and nothing else, means "come back then with the same tap", and is obeyed exactly,
since the server has put the jitter in. Where nobody answered in order, the phone backs off by itself.
"""

import random
from dataclasses import dataclass

from ops.herd.options import Patience


@dataclass(frozen=True, slots=True)
class Accepted:
    """A receipt for this very tap; its signature is checked after the run."""

    content: bytes
    signature: bytes
    key_id: str
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer in the project's error shape.

    Attributes:
        reason: ErrorInfo.reason, or the status code's name.
        retry_after: seconds of RetryInfo; None when it is final.
        ticket: the slot ticket to bring back; empty when there is none.
    """

    reason: str
    retry_after: float | None = None
    ticket: bytes = b""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nobody answered in order: no connection, a reset, a time-out, an answer that cannot be read, a bare 5xx.

    Attributes:
        kind: which of these, for the report.
    """

    kind: str


Answer = Accepted | Refused | Failed


@dataclass(frozen=True, slots=True)
class ComeBack:
    """Send again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Send no more; `gave_up` tells a phone without patience from one with a final answer."""

    gave_up: bool


def next_step(
    answer: Answer, *, tries: int, since_press: float, patience: Patience, chance: random.Random
) -> ComeBack | Stop:
    """What follows on `answer`.

    Args:
        answer: what the last try brought.
        tries: tries made so far, at least 1.
        since_press: seconds since the press.
        patience: the bounds.
        chance: for the phone's own back-off.
    """
    match answer:
        case Accepted() | Refused(retry_after=None):
            return Stop(gave_up=False)
        case Refused(retry_after=float() | int() as asked):
            delay = max(0.0, asked)
        case _:
            ceiling = patience.backoff_base * 2.0 ** min(tries - 1, 30)
            delay = chance.uniform(0.0, min(patience.backoff_cap, ceiling))
    if tries >= patience.tries or since_press + delay > patience.total:
        return Stop(gave_up=True)
    return ComeBack(delay)


def is_orderly(answer: Answer) -> bool:
    """Whether a first answer is what the system promises: a receipt, or a refusal with a time to come back."""
    return isinstance(answer, Accepted) or (isinstance(answer, Refused) and answer.retry_after is not None)
