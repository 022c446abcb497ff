"""Whether reporting's answers agree with the receipts in the phones: pure. Owner: herd.

Compared is what a run added: a board of the same day holds earlier runs too. At an hour outside the windows no tap
counts for a day; then the taps of the peak report are compared, and that nobody became present.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, fields

from hadir.events.v1 import events_pb2
from ops.herd.board import Sight
from ops.herd.receipts import ReceiptCheck

_LATE = frozenset({events_pb2.SLOT_RESULT_LATE, events_pb2.SLOT_RESULT_EARLY_LEAVE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """How far reporting's answers are from the receipts; all 0 when they agree.

    Attributes:
        taps_missing: taps with a receipt that the peak report does not count.
        taps_doubled: taps that it counts beyond those with a receipt and those stored without.
        people_missing: people with a receipt beyond those whom the peak report counts.
        days_missing: people whose receipt counts and whose day does not show it.
        days_wrong: of the others, those whose day says late where the receipt says on time, and the like.
        days_invented: people who became present without a receipt that counts.
        days_doubled: person-days listed twice.
        board_off: heads by which the board's present and late grew otherwise than the list of days.
    """

    taps_missing: int
    taps_doubled: int
    people_missing: int
    days_missing: int
    days_wrong: int
    days_invented: int
    days_doubled: int
    board_off: int

    def found(self) -> Iterator[tuple[str, int]]:
        """Name and number of each that is not 0."""
        for place in fields(self):
            number = getattr(self, place.name)
            if number:
                yield place.name, number

    def __bool__(self) -> bool:
        return any(self.found())


def compare(
    before: Sight, after: Sight, receipts: ReceiptCheck, *, unacknowledged: Set[str], strays: int
) -> Disagreement:
    """Compares what a run added to a date with its receipts of that date.

    Args:
        before: the same date before the run (empty when it had not begun).
        after: now.
        receipts: what the phones hold.
        unacknowledged: people without a receipt: their taps may be stored all the same.
        strays: such taps that are.
    """
    taps = after.view.peak_taps - before.view.peak_taps
    acknowledged = receipts.work_dates.get(after.work_date, 0)
    newcomers = after.results.keys() - before.results.keys()
    may_count = receipts.counting.keys() | receipts.in_review | unacknowledged
    present = after.view.present - before.view.present
    late = after.view.late - before.view.late
    late_days = _late(after) - _late(before)
    return Disagreement(
        taps_missing=max(0, acknowledged - taps),
        taps_doubled=max(0, taps - acknowledged - strays),
        people_missing=max(0, len(receipts.people) - after.view.peak_people),
        days_missing=len(receipts.counting.keys() - after.results.keys()),
        # Whoever was present before keeps the better of their taps, which may be the earlier one.
        days_wrong=sum(
            after.results[person] != receipts.counting[person]
            for person in newcomers & receipts.counting.keys()
        ),
        days_invented=len(newcomers - may_count),
        days_doubled=after.view.days_doubled,
        board_off=abs(present - (len(after.results) - len(before.results))) + abs(late - late_days),
    )


def _late(sight: Sight) -> int:
    return sum(result in _LATE for result in sight.results.values())
