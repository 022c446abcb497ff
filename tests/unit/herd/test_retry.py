import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.herd.options import Patience
from ops.herd.retry import Accepted, Answer, ComeBack, Failed, Refused, Stop, is_orderly, next_step

PATIENCE = Patience(total=100.0, tries=5, backoff_base=0.5, backoff_cap=4.0)


def step(answer: Answer, *, tries: int = 1, since_press: float = 0.0) -> ComeBack | Stop:
    return next_step(answer, tries=tries, since_press=since_press, patience=PATIENCE, chance=random.Random(1))


def test_a_receipt_and_a_final_refusal_end_it() -> None:
    assert step(Accepted(b"", b"", "")) == Stop(gave_up=False)
    assert step(Refused("FORGED")) == Stop(gave_up=False)


def test_a_slot_is_obeyed_exactly() -> None:
    assert step(Refused("BUSY", 1.5), tries=3) == ComeBack(1.5)
    assert step(Refused("BUSY", -1.0)) == ComeBack(0.0)


@given(tries=st.integers(1, 4), seed=st.integers())
def test_without_a_slot_the_wait_is_random_and_doubles_up_to_a_cap(tries: int, seed: int) -> None:
    found = next_step(
        Failed("timeout"), tries=tries, since_press=0.0, patience=PATIENCE, chance=random.Random(seed)
    )
    assert isinstance(found, ComeBack)
    assert 0.0 <= found.delay <= min(4.0, 0.5 * 2 ** (tries - 1))


@pytest.mark.parametrize("answer", [Refused("BUSY", 1.0), Failed("timeout")])
def test_patience_ends_by_tries_and_by_time(answer: Answer) -> None:
    assert step(answer, tries=5) == Stop(gave_up=True)
    assert step(answer, since_press=100.0) == Stop(gave_up=True)


def test_what_the_first_answer_should_be() -> None:
    assert is_orderly(Accepted(b"", b"", ""))
    assert is_orderly(Refused("BUSY", 0.5))
    assert not is_orderly(Refused("FORGED"))
    assert not is_orderly(Failed("timeout"))
