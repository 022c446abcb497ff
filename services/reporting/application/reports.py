"""Lists of assessed days, and how a morning went. Owned by reporting."""

import base64
import binascii
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from services.reporting.application.boards import Boards
from services.reporting.application.errors import (
    DateRangeError,
    InvalidPageTokenError,
    OutOfScopeError,
    ReportTooLargeError,
)
from services.reporting.application.ports import DayQuery, ListedDay, Queries
from services.reporting.application.scope import Caller, area_of
from services.reporting.domain.board import Area
from services.reporting.domain.facts import PersonDay, Slot
from services.reporting.domain.peak import Peak, peak_of

MAX_RANGE_DAYS = 31
"""Longest range of one list: a month."""

DEFAULT_PAGE = 200
MAX_PAGE = 1_000

MAX_PEAK_TAPS = 250_000
"""Most taps of one report: forty times a regency of 6,000; some 100 MB while it is computed."""


class DaysAsked(NamedTuple):
    """A question for days; empty texts mean all, page size 0 the default."""

    first: date
    last: date
    unit: str
    person_id: str
    page_size: int
    page_token: str


async def list_days(
    caller: Caller, asked: DaysAsked, *, regency: str, queries: Queries
) -> tuple[list[ListedDay], str]:
    """A page of assessed days by date, then person, and the token of the next page (empty on the last).

    Raises:
        DateRangeError: the range is backwards or too long.
        InvalidPageTokenError: no answer gave this token.
        OutOfScopeError: not the caller's unit, or a teacher asked for somebody else.
        UnknownUnitError: there is no such unit.
    """
    if not asked.first <= asked.last < asked.first + timedelta(days=MAX_RANGE_DAYS):
        raise DateRangeError(days=str(MAX_RANGE_DAYS))
    person_id = asked.person_id.lower() or None
    if caller.person_id is not None:
        if person_id not in {None, caller.person_id} or asked.unit:
            raise OutOfScopeError(unit=asked.unit or "-")
        person_id, area = caller.person_id, Area()
    else:
        area = await area_of(caller, asked.unit, regency=regency, queries=queries)
    size = min(asked.page_size or DEFAULT_PAGE, MAX_PAGE)
    after = _read_token(asked.page_token) if asked.page_token else None
    # One more than asked for tells whether there is a next page.
    days = await queries.days(DayQuery(asked.first, asked.last, area, person_id, after, size + 1))
    return days[:size], _token(days[size - 1].assessed.day) if len(days) > size else ""


async def peak_report(
    work_date: date, slot: Slot, area: Area, *, queries: Queries, boards: Boards
) -> tuple[Peak, int]:
    """How a slot's rush went in an area, and how many people were expected.

    Raises:
        ReportTooLargeError: more taps than a report may hold.
    """
    board, _ = await boards.board(work_date, slot, area)
    moments = await queries.moments(work_date, slot, area, limit=MAX_PEAK_TAPS + 1)
    if len(moments) > MAX_PEAK_TAPS:
        raise ReportTooLargeError(limit=str(MAX_PEAK_TAPS))
    return peak_of(moments), board.total.expected


def _token(day: PersonDay) -> str:
    raw = day.work_date.toordinal().to_bytes(4, "big") + UUID(day.person_id).bytes
    return base64.urlsafe_b64encode(raw).decode()


def _read_token(token: str) -> PersonDay:
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        return PersonDay(str(UUID(bytes=raw[4:])), date.fromordinal(int.from_bytes(raw[:4], "big")))
    except (binascii.Error, ValueError, OverflowError) as error:
        raise InvalidPageTokenError from error
