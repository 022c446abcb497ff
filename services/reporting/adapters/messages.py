"""Between reporting's records and the messages of the protos, both ways. Owned by reporting."""

from collections.abc import Sequence
from datetime import date, datetime

from chassis.wire import moment, timestamp
from hadir.auth.v1 import people_pb2
from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from services.reporting.application.ports import AssessedDay, PersonRecord, SchoolRecord, TapRecord
from services.reporting.domain.assess import SlotAssessment
from services.reporting.domain.facts import flag_bits, flag_numbers


def tap_record(
    receipt: tap_pb2.ReceiptContent, *, device_id: str, npsn: str, network: tap_pb2.Network
) -> TapRecord:
    """A tap as reporting keeps it.

    Raises:
        ValueError: the work date is no date.
        OverflowError: a time lies outside the calendar.
    """
    return TapRecord(
        tap_id=receipt.tap_id.lower(),
        person_id=receipt.person_id.lower(),
        device_id=device_id.lower() or None,
        npsn=npsn,
        slot=receipt.slot,
        work_date=date.fromisoformat(receipt.work_date),
        official_time=moment(receipt.official_time),
        arrival_time=moment(receipt.arrival_time),
        stored_time=moment(receipt.stored_time),
        time_grade=receipt.time_grade,
        verdict=receipt.verdict,
        minutes=receipt.minutes,
        minutes_class=receipt.minutes_class,
        flags=flag_bits(receipt.flags),
        policy_version=receipt.policy_version,
        practice=receipt.practice,
        network_type=network.type,
        strength_dbm=network.strength_dbm if network.HasField("strength_dbm") else None,
    )


def person_record(person: people_pb2.Person, *, known_since: datetime) -> PersonRecord:
    """A person as reporting keeps them: what lists need to name them, nothing else of the roster."""
    return PersonRecord(
        person_id=person.person_id.lower(),
        version=person.version,
        nip=person.nip,
        name=person.name,
        npsn=person.npsn,
        active=person.active,
        known_since=known_since,
    )


def school_record(school: people_pb2.School, *, version: int) -> SchoolRecord:
    """A school as reporting keeps it; fences are checkin's."""
    return SchoolRecord(
        npsn=school.npsn,
        version=version,
        name=school.name,
        district_code=school.district_code,
        district=school.district,
        week_days=school.week_days,
    )


def day_assessed(day: AssessedDay, *, regency: str, revision: int) -> events_pb2.DayAssessed:
    """An assessment as others see it."""
    assessment = day.assessment
    return events_pb2.DayAssessed(
        regency=regency,
        person_id=day.day.person_id,
        npsn=day.npsn,
        work_date=day.day.work_date.isoformat(),
        status_code=assessment.status_code,
        slots=_slots(assessment.slots),
        revision=revision,
        policy_version=assessment.policy_version,
        reason=assessment.reason,
    )


def _slots(slots: Sequence[SlotAssessment]) -> list[events_pb2.SlotAssessment]:
    return [
        events_pb2.SlotAssessment(
            slot=tap_pb2.Slot.ValueType(slot.slot),
            result=events_pb2.SlotResult.ValueType(slot.result),
            tap_id=slot.tap_id or "",
            official_time=None if slot.official_time is None else timestamp(slot.official_time),
            minutes=slot.minutes,
            minutes_class=slot.minutes_class,
            flags=[tap_pb2.Flag.ValueType(number) for number in flag_numbers(slot.flags)],
        )
        for slot in slots
    ]
