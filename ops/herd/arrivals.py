"""When each phone presses, in seconds after the start: pure, seeded, one number per phone. Owner: herd.

The load is open: a phone presses at its time whatever becomes of the others, as people do.
"""

import math
import random

from ops.herd.options import Arrival

MINUTE = 60.0
CURVE = 15 * 60.0
"""Seconds before the on-time limit in which a regency arrives."""

# Half of the people press in the last four minutes, a sixth earlier than eight: an S that is steepest shortly before
# the limit. No public figures exist of a regency's minutes; the story only says that all come at once.
_MEDIAN_BEFORE_LIMIT = 4 * 60.0
_SIGMA = 0.7


def press_times(arrival: Arrival, people: int, *, seed: int, compress: float = 1.0) -> list[float]:
    """The press of each of `people` phones, in no particular order.

    Args:
        arrival: `instant`: all at 0. `minute`: evenly at random over 60 s. `curve`: an S over 15 minutes that ends at
            the on-time limit.
        people: how many.
        seed: the same seed gives the same times.
        compress: `curve` is shortened by this factor.
    """
    chance = random.Random(seed)  # noqa: S311 - a repeatable crowd, not a secret
    match arrival:
        case Arrival.INSTANT:
            return [0.0] * people
        case Arrival.MINUTE:
            return [chance.uniform(0.0, MINUTE) for _ in range(people)]
        case Arrival.CURVE:
            return [(CURVE - _before_limit(chance)) / compress for _ in range(people)]


def _before_limit(chance: random.Random) -> float:
    """Seconds before the limit, log-normal, cut off at the window's begin by drawing again."""
    while True:
        seconds = chance.lognormvariate(math.log(_MEDIAN_BEFORE_LIMIT), _SIGMA)
        if seconds <= CURVE:
            return seconds
