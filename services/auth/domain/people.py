"""Schools, people and devices as auth keeps them. Owner: auth."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class School:
    """One school (satuan pendidikan).

    Attributes:
        npsn: its number, eight characters, normally digits.
        name: as in the source.
        level: SD, SMP, ...; may be empty.
        district_code: "52.02.01".
        district: the district's name.
        latitude: fence centre, WGS 84, degrees.
        longitude: fence centre, WGS 84, degrees.
        fence_radius_m: metres.
        week_days: working days of a week, 5 or 6.
        version: ascending; 0 for a school that is not stored yet.
    """

    npsn: str
    name: str
    level: str
    district_code: str
    district: str
    latitude: float
    longitude: float
    fence_radius_m: float
    week_days: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """One member of the staff.

    Attributes:
        person_id: for good, whatever happens to their numbers.
        staff_number: what identifies them in the regency, normally the NIP.
        nuptk: sixteen digits, or empty.
        employment_status: as `EmploymentStatus`.
        staff_kind: Dapodik's Jenis PTK.
        npsn: their school now.
        active: False when struck off the roster.
        version: ascending.
        has_device: True while a device is bound.
    """

    person_id: UUID
    staff_number: str
    name: str
    nuptk: str
    employment_status: str
    staff_kind: str
    npsn: str
    active: bool
    version: int
    has_device: bool


@dataclass(frozen=True, slots=True)
class Device:
    """One bound phone.

    Attributes:
        public_key: SEC 1 uncompressed point on P-256, 65 bytes.
        enrolled_at: when it was bound.
        revoked_at: when it was replaced or withdrawn; None while active.
        version: ascending; 1 when bound.
    """

    device_id: UUID
    person_id: UUID
    public_key: bytes
    enrolled_at: datetime
    revoked_at: datetime | None
    version: int

    @property
    def active(self) -> bool:
        """Whether it may sign taps."""
        return self.revoked_at is None
