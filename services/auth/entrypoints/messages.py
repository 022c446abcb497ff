"""Between the contract's messages and auth's own types. Owner: auth."""

from chassis.wire import timestamp
from hadir.auth.v1 import people_pb2, roster_service_pb2
from hadir.events.v1 import events_pb2
from services.auth.application.directory import IssuedCode
from services.auth.application.import_roster import ImportResult
from services.auth.domain.people import Device, Person, School
from services.auth.domain.roster import Cell, CellKind, Column, Notice, RawRow
from services.auth.domain.roster_import import Outcome, RowReport

_OUTCOMES = {
    Outcome.CREATED: roster_service_pb2.ROW_OUTCOME_CREATED,
    Outcome.UPDATED: roster_service_pb2.ROW_OUTCOME_UPDATED,
    Outcome.UNCHANGED: roster_service_pb2.ROW_OUTCOME_UNCHANGED,
    Outcome.REFUSED: roster_service_pb2.ROW_OUTCOME_REFUSED,
}


def school_message(school: School) -> people_pb2.School:
    """A school on the wire."""
    return people_pb2.School(
        npsn=school.npsn,
        name=school.name,
        level=school.level,
        district_code=school.district_code,
        district=school.district,
        latitude=school.latitude,
        longitude=school.longitude,
        fence_radius_m=school.fence_radius_m,
        week_days=school.week_days,
    )


def read_school(message: people_pb2.School) -> School:
    """A school from the wire; its ranges were checked by the contract's rules."""
    return School(
        npsn=message.npsn,
        name=message.name,
        level=message.level,
        district_code=message.district_code,
        district=message.district,
        latitude=message.latitude,
        longitude=message.longitude,
        fence_radius_m=message.fence_radius_m,
        week_days=message.week_days,
    )


def person_message(person: Person) -> people_pb2.Person:
    """A person on the wire."""
    return people_pb2.Person(
        person_id=str(person.person_id),
        nip=person.staff_number,
        name=person.name,
        nuptk=person.nuptk,
        employment_status=person.employment_status,
        staff_kind=person.staff_kind,
        npsn=person.npsn,
        active=person.active,
        version=person.version,
        has_device=person.has_device,
    )


def device_message(device: Device, *, regency: str, with_key: bool) -> people_pb2.Device:
    """A device on the wire."""
    active = people_pb2.DEVICE_STATUS_ACTIVE if device.active else people_pb2.DEVICE_STATUS_REVOKED
    return people_pb2.Device(
        device_id=str(device.device_id),
        person_id=str(device.person_id),
        regency=regency,
        public_key=device.public_key if with_key else b"",
        status=active,
        enrolled_at=timestamp(device.enrolled_at),
        revoked_at=None if device.revoked_at is None else timestamp(device.revoked_at),
        version=device.version,
    )


def code_message(code: IssuedCode) -> roster_service_pb2.ActivationCode:
    """A code in the clear on the wire."""
    return roster_service_pb2.ActivationCode(
        person_id=str(code.person_id),
        nip=code.staff_number,
        name=code.name,
        code=code.code,
        expires_at=timestamp(code.expires_at),
    )


def read_row(message: roster_service_pb2.RosterRow, file: str) -> RawRow:
    """A row from the wire, with the cells that it has."""
    nip_kind = CellKind.NUMBER if message.nip_is_number else CellKind.TEXT
    cells = {
        Column.NAME: Cell(message.name, CellKind.TEXT),
        Column.NIP: Cell(message.nip, nip_kind),
        Column.NUPTK: Cell(message.nuptk, CellKind.TEXT),
        Column.STATUS: Cell(message.employment_status, CellKind.TEXT),
        Column.KIND: Cell(message.staff_kind, CellKind.TEXT),
        Column.DUTY: Cell(message.extra_duty, CellKind.TEXT),
        Column.PHONE: Cell(message.phone, CellKind.TEXT),
        Column.NPSN: Cell(message.npsn, CellKind.TEXT),
        Column.SCHOOL: Cell(message.school_name, CellKind.TEXT),
        Column.SEX: Cell(message.sex, CellKind.TEXT),
        Column.BIRTH_DATE: Cell(message.birth_date, CellKind.TEXT),
    }
    return RawRow(file, message.number, {column: cell for column, cell in cells.items() if cell.text})


def row_message(report: RowReport) -> roster_service_pb2.RowResult:
    """What became of a row, on the wire."""
    message = roster_service_pb2.RowResult(
        number=report.number,
        source=report.source,
        outcome=_OUTCOMES[report.outcome],
        warnings=[_told_id(warning) for warning in report.warnings],
    )
    if report.refusal is not None:
        message.column = report.refusal.column.value
        message.reason = report.refusal.reason.value
        message.message_id = _told_id(report.refusal)
        message.message_en = f"{report.refusal.message_en} {report.refusal.what_to_do_en}"
    return message


def summary_message(result: ImportResult) -> roster_service_pb2.ImportSummary:
    """An import's end on the wire."""
    counts = result.counts
    return roster_service_pb2.ImportSummary(
        accepted=counts.created + counts.updated + counts.unchanged,
        refused=result.refused,
        created=counts.created,
        updated=counts.updated,
        unchanged=counts.unchanged,
        schools_changed=counts.schools_changed,
        dry_run=result.dry_run,
    )


class EventMessages:
    """`EventBodies`, as protobuf."""

    def __init__(self, *, regency: str) -> None:
        self._regency = regency

    def person_changed(self, person: Person, school: School) -> bytes:
        """See the port."""
        return events_pb2.PersonChanged(
            regency=self._regency,
            person=person_message(person),
            school=school_message(school),
            school_version=school.version,
        ).SerializeToString()

    def device_changed(self, device: Device) -> bytes:
        """See the port."""
        message = device_message(device, regency=self._regency, with_key=False)
        return events_pb2.DeviceChanged(device=message).SerializeToString()


def _told_id(notice: Notice) -> str:
    return f"{notice.message_id} {notice.what_to_do_id}"
