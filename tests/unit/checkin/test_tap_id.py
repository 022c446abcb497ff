"""Times inside tap ids, and the months they are kept in."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.checkin.domain.tap_id import add_months, lowest_at, month_bounds, month_of, time_of
from tests.unit.checkin.builders import tap_id_at

MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(9000, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(MOMENTS, st.integers(min_value=0, max_value=2**62 - 1))
def test_an_id_lies_in_the_month_it_was_made_in(moment: datetime, serial: int) -> None:
    tap_id = tap_id_at(moment, serial)
    made = time_of(tap_id)
    assert made is not None
    assert timedelta(0) <= moment - made < timedelta(milliseconds=1)
    lower, upper = month_bounds(month_of(moment))
    assert lower <= tap_id < upper


@given(MOMENTS)
def test_months_meet_without_gap_or_overlap(moment: datetime) -> None:
    month = month_of(moment)
    assert month_bounds(month)[1] == month_bounds(add_months(month, 1))[0]


def test_other_ids_have_no_time() -> None:
    assert time_of(uuid4()) is None
    assert time_of(UUID(int=(2**48 - 1) << 80 | 0x7 << 76 | 0x2 << 62)) is None


def test_months_are_utc() -> None:
    assert month_of(datetime.fromisoformat("2027-04-01T07:00+08:00")) == date(2027, 3, 1)
    assert lowest_at(datetime(1970, 1, 1, tzinfo=UTC)).int == 0
