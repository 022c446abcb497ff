"""The time inside a tap_id (UUIDv7, RFC 9562) and the month partitions that follow from it."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(tap_id: UUID) -> datetime | None:
    """The UTC millisecond a UUIDv7 was made in; None when the id is no UUIDv7 or beyond the calendar (year 9999)."""
    if tap_id.version != 7:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=tap_id.int >> 80)
    except OverflowError:
        return None


def lowest_at(moment: datetime) -> UUID:
    """The lowest UUID whose leading 48 bits are moment's Unix milliseconds: a partition bound."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80)


def month_of(moment: datetime) -> date:
    """The first day of moment's UTC month. Partitions are UTC months, so that a zone change moves no bound."""
    return moment.astimezone(UTC).date().replace(day=1)


def add_months(month: date, count: int) -> date:
    """The first day of the month count months later."""
    index = month.year * 12 + month.month - 1 + count
    return date(index // 12, index % 12 + 1, 1)


def month_bounds(month: date) -> tuple[UUID, UUID]:
    """Lower (inclusive) and upper (exclusive) tap_id of a month's partition."""
    lower = datetime(month.year, month.month, 1, tzinfo=UTC)
    following = add_months(month, 1)
    return lowest_at(lower), lowest_at(datetime(following.year, following.month, 1, tzinfo=UTC))
