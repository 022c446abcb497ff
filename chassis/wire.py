"""Times between Python and protobuf, to the microsecond: aware datetimes, timedeltas, and nothing rounded by a float.

Owner: the chassis.
"""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def timestamp(moment: datetime) -> Timestamp:
    """A Timestamp of an aware datetime."""
    seconds, microseconds = divmod((moment - _EPOCH) // _MICROSECOND, 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)


def duration(span: timedelta) -> Duration:
    """A Duration of a span that is not negative."""
    seconds, microseconds = divmod(span // _MICROSECOND, 1_000_000)
    return Duration(seconds=seconds, nanos=microseconds * 1000)


def moment(stamp: Timestamp) -> datetime:
    """The aware datetime (UTC) of a Timestamp, nanoseconds cut to microseconds.

    Raises:
        OverflowError: it lies outside the years 1 to 9999; anything can come over the wire.
    """
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
