"""The demo's morning is a working day's, whenever it is run."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ops.demo.morning import clock_offset
from ops.herd.options import Slot

ZONE = "Asia/Makassar"
MOMENTS = st.datetimes(
    min_value=datetime(2026, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(MOMENTS, st.sampled_from(Slot))
def test_it_is_a_weekday_of_the_last_week_at_the_herds_hour(now: datetime, slot: Slot) -> None:
    moved = (now + clock_offset(now, ZONE, slot)).astimezone(ZoneInfo(ZONE))
    assert moved.isoweekday() <= 5
    assert (moved.hour, moved.minute) == ((6, 50) if slot is Slot.IN else (15, 30))
    assert timedelta(days=-1) < now.astimezone(ZoneInfo(ZONE)) - moved + timedelta(days=1) < timedelta(days=4)
