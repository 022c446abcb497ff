"""Validity of certificates: drawn at random, renewed outside the peaks."""

import random
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.certificates import CertificateRules, Window, in_window, validity

MAKASSAR = ZoneInfo("Asia/Makassar")
PEAKS = (Window(time(6), time(8, 30)), Window(time(14), time(16, 30)))
RULES = CertificateRules(timedelta(weeks=8), timedelta(days=7), PEAKS, MAKASSAR)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds


@given(MOMENTS, st.randoms(use_true_random=False))
def test_times_are_in_order_whole_and_away_from_peaks(now: datetime, source: random.Random) -> None:
    times = validity(RULES, now=now, source=source)
    assert times.issued_at <= now < times.issued_at + timedelta(seconds=1)
    assert timedelta(weeks=8) <= times.not_after - times.issued_at <= timedelta(weeks=9)
    assert times.issued_at < times.renew_after < times.not_after - timedelta(days=7)
    assert not in_window(times.renew_after, PEAKS, MAKASSAR)
    assert all(moment.microsecond == 0 for moment in (times.issued_at, times.renew_after, times.not_after))


@given(
    st.integers(4, 400),
    st.sampled_from(["Asia/Makassar", "Asia/Jakarta", "Europe/Berlin", "America/New_York"]),
)
def test_renewal_comes_before_the_end_for_any_lifetime_and_zone(days: int, zone: str) -> None:
    rules = CertificateRules(timedelta(days=days), timedelta(0), PEAKS, ZoneInfo(zone))
    for seed in range(5):
        times = validity(rules, now=datetime(2026, 3, 29, 1, 30, tzinfo=UTC), source=random.Random(seed))
        assert times.issued_at < times.renew_after < times.not_after


def test_who_enrolls_together_neither_renews_nor_ends_together() -> None:
    source = random.Random(7)
    drawn = [validity(RULES, now=datetime(2026, 7, 1, tzinfo=UTC), source=source) for _ in range(6000)]
    days = [times.renew_after.astimezone(MAKASSAR).date() for times in drawn]
    assert max(days.count(day) for day in set(days)) < 6000 / 10
    assert len({times.not_after for times in drawn}) > 5000


def test_rules_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="four days"):
        CertificateRules(timedelta(days=3), timedelta(0), (), MAKASSAR)
    with pytest.raises(ValueError, match="starts before"):
        Window(time(8), time(8))
