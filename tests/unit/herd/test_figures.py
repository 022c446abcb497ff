import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.herd.course import Tap
from ops.herd.evidence import SignedTap
from ops.herd.figures import figures, percentile
from ops.herd.phones import Phone
from ops.herd.retry import Accepted, Answer, Failed, Refused
from ops.herd.wire import ProtobufRequest

RECEIPT = Accepted(b"", b"", "")


@pytest.fixture(name="blank")
def make_blank(phone: Phone, signed: SignedTap) -> Tap:
    return Tap(phone=phone, signed=signed, press=0.0, renderer=ProtobufRequest(phone, signed), first=b"")


def lived(blank: Tap, press: float, done: float, *answers: Answer, gave_up: bool = False) -> Tap:
    return dataclasses.replace(
        blank,
        press=press,
        tries=len(answers),
        first_answer=answers[0],
        first_answer_at=press + 0.1,
        answer=answers[-1],
        done_at=done,
        gave_up=gave_up,
    )


def test_waiting_counts_from_the_press_and_the_whole_from_the_first_press(blank: Tap) -> None:
    found = figures(
        [
            lived(blank, 1.0, 2.0, RECEIPT),
            lived(blank, 2.0, 5.0, Refused("BUSY", 1.0), RECEIPT),
            lived(blank, 3.0, 3.5, Failed("timeout"), Failed("timeout"), RECEIPT),
            lived(blank, 3.0, 9.0, Refused("FORGED")),
            lived(blank, 3.0, 9.0, Failed("timeout"), gave_up=True),
        ]
    )

    assert (found.sent, found.acknowledged, found.refused, found.unanswered) == (5, 3, 1, 1)
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (1000.0, 3000.0, 3000.0)
    assert found.seconds_to_all == 4.0
    assert found.seconds_to == {50: 4.0}
    assert (found.retries, found.most_tries) == (3, 3)
    assert found.first_attempt_failures == 3
    assert found.reasons == {
        "first": {"BUSY": 1, "timeout": 2, "FORGED": 1},
        "last": {"FORGED": 1, "timeout": 1},
    }


def test_a_run_that_nobody_answered_has_figures_too(blank: Tap) -> None:
    found = figures([lived(blank, 0.0, 9.0, Failed("timeout"), gave_up=True)])

    assert (found.acknowledged, found.seconds_to_all, found.p99_ms, found.seconds_to) == (0, 0.0, 0.0, {})


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted), st.floats(0, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= len(values) * share / 100 - 1e-6
    assert percentile(values, 100) == values[-1]
