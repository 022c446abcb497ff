"""Board and peak: sums and percentiles."""

from hypothesis import given
from hypothesis import strategies as st

from services.reporting.domain.board import (
    Area,
    Board,
    Counts,
    Row,
    SchoolHeads,
    UnitLevel,
    board_of,
    changed_rows,
)
from services.reporting.domain.peak import MAX_SECONDS, TapMoments, peak_of

EVERY = frozenset({5, 6})


def school(
    npsn: str, district: str, *, week_days: int = 6, people: int = 10, present: int = 0
) -> SchoolHeads:
    return SchoolHeads(npsn, f"SD {npsn}", district, f"Kec {district}", week_days, people, present, 0, 0)


schools = st.lists(
    st.builds(
        lambda number, district, week, people, present: school(
            f"{number:08}",
            f"52.02.{district:02}",
            week_days=week,
            people=people,
            present=min(people, present),
        ),
        st.integers(0, 60),
        st.integers(1, 12),
        st.sampled_from([5, 6]),
        st.integers(0, 40),
        st.integers(0, 40),
    ),
    unique_by=lambda school: school.npsn,
)


@given(schools, st.sampled_from([frozenset({5}), frozenset({6}), EVERY, frozenset[int]()]))
def test_each_level_adds_up_to_the_whole(schools: list[SchoolHeads], groups: frozenset[int]) -> None:
    board = board_of(schools, groups, Area())
    for level in (UnitLevel.DISTRICT, UnitLevel.SCHOOL):
        total = Counts()
        for row in board.rows:
            if row.level == level:
                total = total.plus(row.counts)
        assert total == board.total
    assert board.total.expected == sum(one.people for one in schools if one.week_days in groups)
    assert [row.level for row in board.rows] == sorted(row.level for row in board.rows)


@given(schools, schools)
def test_what_changed_turns_the_one_board_into_the_other(
    one: list[SchoolHeads], two: list[SchoolHeads]
) -> None:
    before, after = board_of(one, EVERY, Area()), board_of(two, EVERY, Area())
    shown = {(row.level, row.code): row for row in before.rows}
    shown |= {(row.level, row.code): row for row in changed_rows(before, after)}
    assert {key: row for key, row in shown.items() if row.counts != Counts()} == {
        (row.level, row.code): row for row in after.rows if row.counts != Counts()
    }
    assert changed_rows(after, after) == ()


def test_schools_without_duty_expect_nobody() -> None:
    board = board_of([school("1", "52.02.01", week_days=5), school("2", "52.02.01")], frozenset({6}), Area())
    assert board.total == Counts(expected=10)
    assert board.total.missing == 10


def test_an_area_shows_its_part_only() -> None:
    both = [school("1", "52.02.01", present=3), school("2", "52.02.02", present=4)]
    assert board_of(both, EVERY, Area(district_code="52.02.02")).total.present == 4
    assert [row.code for row in board_of(both, EVERY, Area(district_code="52.02.02")).rows] == [
        "52.02.02",
        "2",
    ]
    assert [row.code for row in board_of(both, EVERY, Area(npsn="1")).rows] == ["1"]


def test_a_unit_that_vanished_is_told_as_zeros() -> None:
    row = Row(UnitLevel.SCHOOL, "1", "SD", "52.02.01", Counts(5, 1, 0, 0))
    assert changed_rows(Board(Counts(), (row,)), Board(Counts(), ())) == (row._replace(counts=Counts()),)


def test_no_taps_make_an_empty_report() -> None:
    peak = peak_of([])
    assert (peak.taps, peak.people, peak.first_arrival, peak.seconds) == (0, 0, None, ())
    assert peak.seconds_to == peak.wait_ms == (0.0, 0.0, 0.0, 0.0)


def test_a_herd_of_one_hundred() -> None:
    begin = 1_785_711_600_000_000
    taps = [
        TapMoments(str(n), begin + n * 1_000, begin + n * 1_000 + 250_000 * (n + 1), n == 7)
        for n in range(100)
    ]
    peak = peak_of(taps)
    assert (peak.taps, peak.people, peak.review, peak.first_arrival) == (100, 100, 1, begin)
    assert peak.wait_ms == (12_500.0, 22_500.0, 24_750.0, 25_000.0)
    assert peak.seconds_to == (12.549, 22.589, 24.848, 25.099)
    assert peak.seconds[0].arrived == 100
    assert sum(second.stored for second in peak.seconds) == 100


def test_a_second_tap_of_a_person_counts_as_tap_not_as_person() -> None:
    peak = peak_of([TapMoments("a", 0, 9_000_000, False), TapMoments("a", 0, 1_000_000, False)])
    assert (peak.taps, peak.people, peak.seconds_to[3], peak.wait_ms[3]) == (2, 1, 1.0, 9_000.0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10**11), st.integers(0, 10**8)), min_size=1))
def test_reports_hold_together(raw: list[tuple[int, int, int]]) -> None:
    taps = [TapMoments(str(who), arrived, arrived + wait, False) for who, arrived, wait in raw]
    peak = peak_of(taps)
    assert list(peak.seconds_to) == sorted(peak.seconds_to)
    assert list(peak.wait_ms) == sorted(peak.wait_ms)
    assert peak.wait_ms[3] == max(wait for _, _, wait in raw) / 1_000
    assert sum(second.arrived for second in peak.seconds) == len(taps)


def test_of_too_many_seconds_the_busiest_are_told_in_order() -> None:
    quiet = [
        TapMoments("q", second * 1_000_000, second * 1_000_000, False) for second in range(MAX_SECONDS + 50)
    ]
    busy = [TapMoments("b", (MAX_SECONDS + 49) * 1_000_000, (MAX_SECONDS + 49) * 1_000_000, False)] * 3
    seconds = peak_of([*quiet, *busy]).seconds
    assert len(seconds) == MAX_SECONDS
    assert seconds[-1].arrived == 4
    assert list(seconds) == sorted(seconds)
