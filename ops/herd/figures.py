"""From what became of each tap to the figures of a run: pure. Owner: herd."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ops.herd.course import Tap
from ops.herd.retry import Accepted, Answer, Failed, Refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """A run in numbers. Times count from the planned press to the receipt, whatever was tried in between.

    Attributes:
        sent: taps sent at least once.
        acknowledged: taps with a receipt.
        refused: taps with a final refusal.
        unanswered: taps whose phone ran out of patience.
        retries: tries beyond each tap's first.
        first_attempt_failures: first tries that got neither a receipt nor a refusal with a time to come back.
        seconds_to_all: from the first press to the last receipt.
        seconds_to: by percentage (50, 90, 99, 100), from the first press until so many of all phones had a receipt;
            a percentage that was not reached is left out.
        p50_ms, p90_ms, p99_ms, max_ms: press to receipt; 0 without receipts.
        first_answer_p99_ms: press to first answer, of any kind.
        most_tries: of any one tap.
        duplicate_receipts: receipts that said the tap was stored before (an answer had been lost on the way).
        reasons: by reason, how many first tries and how many last ones did not bring a receipt.
    """

    sent: int
    acknowledged: int
    refused: int
    unanswered: int
    retries: int
    first_attempt_failures: int
    seconds_to_all: float
    seconds_to: Mapping[int, float]
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    first_answer_p99_ms: float
    most_tries: int
    duplicate_receipts: int
    reasons: Mapping[str, Mapping[str, int]]


def figures(taps: Sequence[Tap]) -> Figures:
    """The figures of a finished run."""
    sent = [tap for tap in taps if tap.tries]
    receipts = sorted(tap.done_at for tap in sent if tap.acknowledged and tap.done_at is not None)
    waits = sorted(
        (tap.done_at - tap.press) * 1000 for tap in sent if tap.acknowledged and tap.done_at is not None
    )
    first_waits = sorted(
        (tap.first_answer_at - tap.press) * 1000 for tap in sent if tap.first_answer_at is not None
    )
    first_press = min((tap.press for tap in sent), default=0.0)
    unanswered = sum(tap.gave_up or tap.answer is None for tap in sent)
    return Figures(
        sent=len(sent),
        acknowledged=len(receipts),
        refused=len(sent) - len(receipts) - unanswered,
        unanswered=unanswered,
        retries=sum(tap.tries - 1 for tap in sent),
        first_attempt_failures=sum(tap.disorderly_start for tap in sent),
        seconds_to_all=receipts[-1] - first_press if receipts else 0.0,
        seconds_to={
            share: receipts[_rank(len(sent), share) - 1] - first_press
            for share in (50, 90, 99, 100)
            if 0 < _rank(len(sent), share) <= len(receipts)
        },
        p50_ms=percentile(waits, 50),
        p90_ms=percentile(waits, 90),
        p99_ms=percentile(waits, 99),
        max_ms=percentile(waits, 100),
        first_answer_p99_ms=percentile(first_waits, 99),
        most_tries=max((tap.tries for tap in sent), default=0),
        duplicate_receipts=sum(tap.duplicate_receipts for tap in sent),
        reasons={
            "first": _reasons(tap.first_answer for tap in sent),
            "last": _reasons(tap.answer for tap in sent),
        },
    )


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that `share` percent of all do not exceed (nearest rank); 0 without values."""
    if not ascending:
        return 0.0
    return ascending[_rank(len(ascending), share) - 1]


def _rank(count: int, share: float) -> int:
    return max(1, math.ceil(count * share / 100)) if count else 0


def _reasons(answers: Iterable[Answer | None]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for answer in answers:
        match answer:
            case Failed(kind=kind):
                counted[kind] += 1
            case Refused(reason=reason):
                counted[reason] += 1
            case Accepted():
                continue
            case None:
                counted["none"] += 1
    return dict(counted)
