"""From rows to the domain's types. Owner: auth."""

from types import MappingProxyType
from typing import Any

from sqlalchemy import Row

from services.auth.domain.people import Device, Person, School

_SCHOOL = (
    "s.npsn, s.name AS school_name, s.level, s.district_code, s.district, s.latitude, s.longitude, "
    "s.fence_radius_m, s.week_days, s.version AS school_version"
)
_PERSON = (
    "p.person_id, p.staff_number, p.name, p.nuptk, p.employment_status, p.staff_kind, p.npsn, p.active, p.version, "
    "EXISTS (SELECT FROM auth.devices d WHERE d.regency = p.regency AND d.person_id = p.person_id "
    "AND d.revoked_at IS NULL) AS has_device"
)
_DEVICE = "d.device_id, d.person_id, d.public_key, d.enrolled_at, d.revoked_at, d.version"

COLUMNS = MappingProxyType({"school": _SCHOOL, "person": _PERSON, "device": _DEVICE})
"""The columns of a school (table s), a person (p) and a device (d), as parts of statements."""


def school(row: Row[Any]) -> School:
    """The school of a row with the columns "school"."""
    return School(
        npsn=row.npsn,
        name=row.school_name,
        level=row.level,
        district_code=row.district_code,
        district=row.district,
        latitude=row.latitude,
        longitude=row.longitude,
        fence_radius_m=row.fence_radius_m,
        week_days=row.week_days,
        version=row.school_version,
    )


def person(row: Row[Any]) -> Person:
    """The person of a row with the columns "person"."""
    return Person(
        person_id=row.person_id,
        staff_number=row.staff_number,
        name=row.name,
        nuptk=row.nuptk,
        employment_status=row.employment_status,
        staff_kind=row.staff_kind,
        npsn=row.npsn,
        active=row.active,
        version=row.version,
        has_device=row.has_device,
    )


def device(row: Row[Any]) -> Device:
    """The device of a row with the columns "device"."""
    return Device(
        device_id=row.device_id,
        person_id=row.person_id,
        public_key=bytes(row.public_key),
        enrolled_at=row.enrolled_at,
        revoked_at=row.revoked_at,
        version=row.version,
    )
