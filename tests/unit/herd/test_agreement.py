import dataclasses
from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hadir.events.v1 import events_pb2
from ops.herd.agreement import Disagreement, compare
from ops.herd.board import BoardView, Sight
from ops.herd.receipts import ReceiptCheck

DATE = "2026-11-23"
PRESENT, LATE = events_pb2.SLOT_RESULT_PRESENT, events_pb2.SLOT_RESULT_LATE


def receipts(
    counting: Mapping[str, int], *, others: int = 0, in_review: set[str] | None = None
) -> ReceiptCheck:
    """Of people whose tap counts, and of others (outside the window)."""
    people = {*counting, *(in_review or ()), *(f"odd-{number}" for number in range(others))}
    return ReceiptCheck(
        valid=len(people),
        invalid=0,
        work_dates={DATE: len(people)},
        verdicts={},
        time_grades={},
        flags={},
        people=people,
        counting=counting,
        in_review=in_review or set(),
        longest_backdating=timedelta(0),
    )


def sight(results: Mapping[str, int], *, taps: int, people: int | None = None) -> Sight:
    view = BoardView(
        present=len(results),
        late=sum(result == LATE for result in results.values()),
        peak_taps=taps,
        peak_people=taps if people is None else people,
        days_with_tap=len(results),
    )
    return Sight(work_date=DATE, view=view, results=results)


def told(before: Sight, after: Sight, found: ReceiptCheck, strays: int = 0) -> dict[str, int]:
    unacknowledged = {f"stray-{number}" for number in range(strays)}
    return dict(compare(before, after, found, unacknowledged=unacknowledged, strays=strays).found())


NONE = sight({}, taps=0)
MORNING = {"ani": PRESENT, "budi": LATE, "citra": PRESENT}
AFTER = sight(MORNING, taps=3)


def changed(**view: int) -> Sight:
    return dataclasses.replace(AFTER, view=dataclasses.replace(AFTER.view, **view))


def test_a_true_board_agrees() -> None:
    found = compare(NONE, AFTER, receipts(MORNING), unacknowledged=set(), strays=0)

    assert not found
    assert dataclasses.asdict(found) == {field.name: 0 for field in dataclasses.fields(Disagreement)}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (changed(peak_taps=2), {"taps_missing": 1}),
        (changed(peak_taps=5), {"taps_doubled": 2}),
        (changed(peak_people=1), {"people_missing": 2}),
        (changed(days_doubled=2), {"days_doubled": 2}),
        (changed(present=2), {"board_off": 1}),
        (changed(present=0, late=0), {"board_off": 4}),
        (changed(late=3), {"board_off": 2}),
        (sight({"ani": PRESENT, "budi": LATE}, taps=3), {"days_missing": 1}),
        (sight({**MORNING, "dewi": PRESENT}, taps=3), {"days_invented": 1}),
        (sight({**MORNING, "budi": PRESENT}, taps=3), {"days_wrong": 1}),
        (NONE, {"taps_missing": 3, "people_missing": 3, "days_missing": 3}),
    ],
)
def test_a_lying_board_is_noticed(after: Sight, expected: Mapping[str, int]) -> None:
    assert told(NONE, after, receipts(MORNING)) == expected


def test_at_an_odd_hour_the_taps_are_compared_and_nobody_becomes_present() -> None:
    night = receipts({}, others=4)

    assert told(NONE, sight({}, taps=4), night) == {}
    assert told(NONE, sight({}, taps=3, people=4), night) == {"taps_missing": 1}
    assert told(NONE, sight({"odd-1": PRESENT}, taps=4), night) == {"days_invented": 1}


def test_an_earlier_run_of_the_day_is_no_part_of_it() -> None:
    again = receipts({"ani": LATE, "dewi": LATE})
    both = {**MORNING, "dewi": LATE}

    # Ani's first tap of the day was on time, and counts.
    assert told(AFTER, sight(both, taps=5, people=4), again) == {}
    assert told(AFTER, sight(both, taps=4, people=4), again) == {"taps_missing": 1}


def test_taps_that_are_stored_though_their_phones_never_heard_are_no_doubles() -> None:
    after = sight({**MORNING, "stray-0": PRESENT}, taps=4)

    assert told(NONE, after, receipts(MORNING), strays=1) == {}
    assert told(NONE, after, receipts(MORNING)) == {"taps_doubled": 1, "days_invented": 1}


@pytest.mark.parametrize("results", [MORNING, {**MORNING, "eka": PRESENT}])
def test_a_tap_in_review_may_count_or_not(results: Mapping[str, int]) -> None:
    assert told(NONE, sight(results, taps=4), receipts(MORNING, in_review={"eka"})) == {}


people = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([PRESENT, LATE]))


@given(earlier=people, now=people, others=st.integers(0, 5))
def test_whoever_tells_the_truth_is_believed(
    earlier: Mapping[str, int], now: Mapping[str, int], others: int
) -> None:
    before = sight(earlier, taps=len(earlier))
    after = sight({**now, **earlier}, taps=len(earlier) + len(now) + others)

    assert told(before, after, receipts(now, others=others)) == {}
