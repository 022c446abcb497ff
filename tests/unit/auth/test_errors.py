"""The table of errors: complete, stable, and in the reader's words."""

import inspect
import re
from datetime import timedelta

from grpc import StatusCode

from chassis.errors import ErrorMapper
from services.auth.domain import errors
from services.auth.entrypoints.errors import ERRORS
from services.auth.entrypoints.metrics import outcome

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.AuthError) and kind is not errors.AuthError
]


def test_every_refusal_has_a_rule_of_its_own() -> None:
    assert set(KINDS) == set(ERRORS)
    reasons = [rule.reason for rule in ERRORS.values()]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[A-Z][A-Z_]+", reason) for reason in reasons)


def test_none_is_internal_and_both_languages_are_there() -> None:
    for rule in ERRORS.values():
        assert rule.code not in {StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.OK}
        assert rule.message_id
        assert rule.message_en
        assert rule.message_id != rule.message_en


def test_what_asks_to_come_back_says_when() -> None:
    for kind, rule in ERRORS.items():
        assert issubclass(kind, errors.AuthError)
        if issubclass(kind, errors.OverloadedError):
            made: errors.AuthError = kind(timedelta(seconds=1))
        else:
            made = kind(npsn="1", district="2", regency="3", most="4", problem="5", person_id="6")
        status = ErrorMapper(ERRORS).to_status(made)
        comes_back = rule.code in {StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED}
        assert (rule.retry_after is not None) is comes_back
        assert "{" not in status.message


def test_outcomes_are_labels() -> None:
    assert outcome(errors.DeviceAlreadyBoundError()) == "device_already_bound"
