"""Units (regency, district, school), the roles that hold in them, and who may act where. Owner: auth.

Each role acts only inside its unit's scope (the project's domain rules, "People and places").
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique

from services.auth.domain.errors import OutOfScopeError

_FORMS = {
    "regency": re.compile(r"[0-9]{4}"),
    "district": re.compile(r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}"),
    "school": re.compile(r"[0-9A-Za-z]{1,16}"),
}


@unique
class Role(StrEnum):
    """What somebody is, as it stands in tokens."""

    TEACHER = "teacher"
    SCHOOL_OPERATOR = "school_operator"
    HEAD_TEACHER = "head_teacher"
    LIAISON = "liaison"
    PERSONNEL_AGENCY = "personnel_agency"
    EDUCATION_AGENCY = "education_agency"
    ICT_AGENCY = "ict_agency"
    AUDITOR = "auditor"
    SERVICE = "service"


class Breadth(IntEnum):
    """How much a unit spans, narrowest first."""

    SCHOOL = 0
    DISTRICT = 1
    REGENCY = 2


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as it stands in tokens: "regency:5202", "district:52.02.01" or "school:50203000"."""

    breadth: Breadth
    code: str

    def __str__(self) -> str:
        return f"{self.breadth.name.lower()}:{self.code}"

    def covers(self, *, regency: str, district: str, npsn: str) -> bool:
        """Whether a school, by its place, lies in this unit."""
        match self.breadth:
            case Breadth.REGENCY:
                return self.code == regency
            case Breadth.DISTRICT:
                return self.code == district
            case Breadth.SCHOOL:
                return self.code == npsn


def parse_unit(text: str) -> Unit:
    """The unit that a text names.

    Raises:
        ValueError: it names none.
    """
    kind, _, code = text.partition(":")
    form = _FORMS.get(kind)
    if form is None or not form.fullmatch(code):
        raise ValueError(f"no unit: {kind[:20]}")
    return Unit(Breadth[kind.upper()], code)


def district_in_regency(district_code: str, regency: str) -> bool:
    """Whether a district ("52.02.01") belongs to a regency ("5202"): its code begins with the regency's."""
    return district_code.replace(".", "")[:4] == regency


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that somebody holds now, in a unit."""

    role: Role
    unit: Unit


def session_roles(home: Unit, grants: Iterable[Grant]) -> tuple[tuple[Role, ...], Unit]:
    """The roles and the one unit of a teacher's session.

    A token has one unit for all its roles, so it carries the widest grant's unit with the roles granted there: an
    operator of one school who is also a district's liaison must not become an operator of the district. A role of a
    narrower unit needs a session of its own, which SignIn does not offer yet.

    Args:
        home: the person's own school.
        grants: what they hold now.

    Returns:
        Roles in order of their names, "teacher" always among them; and the unit.
    """
    held = tuple(grants)
    widest = max((grant.unit for grant in held), key=lambda unit: (unit.breadth, unit.code), default=home)
    roles = {grant.role for grant in held if grant.unit == widest} | {Role.TEACHER}
    return tuple(sorted(roles)), widest


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as their token says.

    Attributes:
        subject: whom the trail names.
        unit: where their roles hold; None when the token names no unit.
        is_service: True for another of Hadir's services, which may read the whole regency.
    """

    subject: str
    unit: Unit | None
    is_service: bool = False

    def scope(self, regency: str) -> Unit:
        """The unit they may act in.

        Raises:
            OutOfScopeError: they have none, or another regency's.
        """
        if self.is_service:
            return Unit(Breadth.REGENCY, regency)
        if self.unit is None or (self.unit.breadth is Breadth.REGENCY and self.unit.code != regency):
            raise OutOfScopeError
        return self.unit
