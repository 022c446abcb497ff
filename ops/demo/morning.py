"""When the demo's morning is: a working day's herd is shown on any day and at any hour. Owner: stack.

The stack's clock is moved (a development stack only), so that its verdicts are those of a real morning: whoever runs
the demo at night would otherwise see 6,000 people outside their window.
"""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from ops.herd.options import Slot

# Before 07:00 by what starting, importing and enrolling take on a slow machine, with room; check-out begins at 15:30.
_STARTS = {Slot.IN: time(6, 50), Slot.OUT: time(15, 30)}
_FRIDAY = 5


def clock_offset(now: datetime, zone: str, slot: Slot) -> timedelta:
    """How far the clock is to be moved so that the demo starts shortly before the herd's hour on a working day.

    The day is the last Monday to Friday up to today (local to zone), on which five-day and six-day schools both work.
    """
    local = now.astimezone(ZoneInfo(zone))
    day = local.date() - timedelta(days=max(0, local.isoweekday() - _FRIDAY))
    return datetime.combine(day, _STARTS[slot], ZoneInfo(zone)) - local
