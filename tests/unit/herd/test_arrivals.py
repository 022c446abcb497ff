from hypothesis import given
from hypothesis import strategies as st

from ops.herd.arrivals import CURVE, MINUTE, press_times
from ops.herd.options import Arrival


@given(
    arrival=st.sampled_from(Arrival),
    people=st.integers(1, 400),
    seed=st.integers(),
    compress=st.floats(1, 100),
)
def test_everybody_presses_once_within_the_window_and_the_seed_says_when(
    arrival: Arrival, people: int, seed: int, compress: float
) -> None:
    times = press_times(arrival, people, seed=seed, compress=compress)
    longest = {Arrival.INSTANT: 0.0, Arrival.MINUTE: MINUTE, Arrival.CURVE: CURVE / compress}[arrival]

    assert len(times) == people
    assert all(0.0 <= moment <= longest + 1e-9 for moment in times)
    assert times == press_times(arrival, people, seed=seed, compress=compress)


def test_another_seed_gives_another_morning() -> None:
    assert press_times(Arrival.CURVE, 50, seed=1) != press_times(Arrival.CURVE, 50, seed=2)


def test_the_curve_is_an_s_that_is_steepest_shortly_before_its_end() -> None:
    times = press_times(Arrival.CURVE, 20_000, seed=3)
    per_minute = [sum(minute * 60 <= moment < minute * 60 + 60 for moment in times) for minute in range(15)]

    assert max(per_minute) in per_minute[9:14]
    assert per_minute[14] < max(per_minute)
    assert per_minute[:10] == sorted(per_minute[:10])
    assert 0.4 < sum(moment > CURVE - 240 for moment in times) / len(times) < 0.6


def test_a_minute_is_even() -> None:
    times = press_times(Arrival.MINUTE, 60_000, seed=3)
    per_second = [sum(second <= moment < second + 1 for moment in times) for second in range(60)]

    assert min(per_second) > 850
    assert max(per_second) < 1150
