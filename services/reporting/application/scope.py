"""Who may see what: a caller's unit, and the area they asked for within it. Owned by reporting."""

from dataclasses import dataclass

from services.reporting.application.errors import OutOfScopeError, UnknownUnitError
from services.reporting.application.ports import Queries
from services.reporting.domain.board import Area


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        person_id: set when the caller may see this person only (a teacher), whatever else is asked for.
        unit: "regency:5202", "district:52.02.01" or "school:50203000"; empty for a teacher.
    """

    person_id: str | None
    unit: str


async def area_of(caller: Caller, unit: str, *, regency: str, queries: Queries) -> Area:
    """The area a caller asked for.

    Args:
        caller: who asks.
        unit: district code, NPSN or the regency's own code; empty means the caller's whole unit.
        regency: of this deployment, four digits.
        queries: for the districts of schools.

    Raises:
        OutOfScopeError: it is not inside the caller's unit; also for a unit that does not exist, so that nobody
            learns of other units by asking.
        UnknownUnitError: the caller may see all of the regency, and it holds no such unit.
    """
    level, _, code = caller.unit.partition(":")
    match level:
        case "regency" if code == regency:
            return await _of_regency(unit, regency, queries)
        case "district" if code:
            if unit in {"", code}:
                return Area(district_code=code)
            if await queries.district_of(unit) == code:
                return Area(district_code=code, npsn=unit)
        case "school" if code:
            if unit in {"", code}:
                return Area(npsn=code)
        case _:
            pass
    raise OutOfScopeError(unit=unit or caller.unit)


async def _of_regency(unit: str, regency: str, queries: Queries) -> Area:
    if unit in {"", regency}:
        return Area()
    if await queries.has_district(unit):
        return Area(district_code=unit)
    if await queries.district_of(unit) is not None:
        return Area(npsn=unit)
    raise UnknownUnitError(unit=unit)
