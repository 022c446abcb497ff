"""Between messages of hadir.checkin.v1 and checkin's own values, for what callers send and get."""

from datetime import date, datetime, timedelta

from chassis.wire import moment
from hadir.checkin.v1 import tap_pb2
from services.checkin.application.ports import Receipt
from services.checkin.application.submit import ReceivedTap
from services.checkin.domain.errors import InvalidDateError
from services.checkin.domain.tap import Sending

# Nobody's attendance is older or farther ahead; and local midnights stay inside what a datetime can hold.
FIRST_YEAR, LAST_YEAR = 2000, 2200


def parse_date(value: str, field: str) -> date | None:
    """A date of YYYY-MM-DD; None when empty. Raises InvalidDateError for what is no day of FIRST_YEAR to LAST_YEAR."""
    if not value:
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError as error:
        raise InvalidDateError(field=field) from error
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise InvalidDateError(field=field)
    return found


def received(tap: tap_pb2.Tap) -> ReceivedTap:
    """A tap as it came. An impossible wall clock counts as none: it is unsigned and only ever helps the caller."""
    sent_at: datetime | None = None
    if tap.transport.HasField("sent_at"):
        try:
            sent_at = moment(tap.transport.sent_at)
        except OverflowError:
            sent_at = None
    sending = Sending(timedelta(milliseconds=tap.transport.queued_ms), sent_at)
    return ReceivedTap(tap.evidence, tap.signature, tap.device_certificate, sending)


def receipt_message(receipt: Receipt) -> tap_pb2.Receipt:
    """The wire form of a receipt."""
    return tap_pb2.Receipt(content=receipt.content, signature=receipt.signature, key_id=receipt.key_id)
