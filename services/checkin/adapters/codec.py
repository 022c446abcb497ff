"""Between hadir.checkin.v1 messages and checkin's own values: evidence in, receipts and events out."""

from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from protovalidate import Validator

from chassis.errors import MalformedMessageError
from chassis.interceptors.validation import parser
from chassis.jetstream import subject
from chassis.outbox import OutboxEvent
from chassis.wire import moment, timestamp
from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from services.checkin.application.ports import JudgedTap, Receipt
from services.checkin.domain.errors import EvidenceMalformedError
from services.checkin.domain.tap import (
    AcceptedTap,
    ClockReading,
    Evidence,
    Judgement,
    Location,
    Network,
    Slot,
)

RECEIPT_CONTEXT = b"hadir.receipt.v1\0"
TAP_ACCEPTED = "hadir.events.v1.TapAccepted"

_parse_evidence = parser(tap_pb2.TapEvidence.FromString, Validator())
_SIGN = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def decode_evidence(data: bytes) -> Evidence:
    """Decode and validate TapEvidence bytes.

    Raises EvidenceMalformedError when they are none (invalid UTF-8 and impossible times included), and
    chassis.errors.InvalidFieldsError when a value is out of its range.
    """
    try:
        message = _parse_evidence(data)
    except MalformedMessageError as error:
        raise EvidenceMalformedError from error
    try:
        return Evidence(
            tap_id=UUID(message.tap_id),
            person_id=UUID(message.person_id),
            slot=Slot(message.slot),
            audience=message.audience,
            practice=message.practice,
            pressed_at=moment(message.pressed_at),
            clock=_clock(message.clock) if message.HasField("clock") else None,
            location=_location(message.location) if message.HasField("location") else None,
            network=network(message.network) if message.HasField("network") else None,
        )
    except OverflowError as error:
        raise EvidenceMalformedError from error


def _clock(message: tap_pb2.ClockReading) -> ClockReading:
    return ClockReading(
        anchor=message.anchor,
        clock_session_id=UUID(message.clock_session_id),
        elapsed=timedelta(milliseconds=message.elapsed_ms) if message.HasField("elapsed_ms") else None,
        wall_at_anchor=moment(message.wall_at_anchor) if message.HasField("wall_at_anchor") else None,
    )


def _location(message: tap_pb2.Location) -> Location:
    mock = message.mock if message.HasField("mock") else None
    return Location(message.latitude, message.longitude, message.accuracy_m, mock)


def network(message: tap_pb2.Network) -> Network:
    """The connection at the press."""
    return Network(message.type, message.strength_dbm if message.HasField("strength_dbm") else None)


def receipt_content(tap: AcceptedTap, judgement: Judgement, stored_at: datetime) -> tap_pb2.ReceiptContent:
    """The content of a tap's receipt."""
    evidence = tap.evidence
    return tap_pb2.ReceiptContent(
        tap_id=str(evidence.tap_id),
        person_id=str(evidence.person_id),
        regency=evidence.audience,
        slot=tap_pb2.Slot.ValueType(evidence.slot),
        work_date=judgement.work_date.isoformat(),
        official_time=timestamp(tap.official.at),
        arrival_time=timestamp(tap.arrival.at),
        stored_time=timestamp(stored_at),
        time_grade=tap_pb2.TimeGrade.ValueType(tap.official.grade),
        verdict=tap_pb2.Verdict.ValueType(judgement.verdict),
        minutes=judgement.minutes,
        minutes_class=judgement.minutes_class,
        flags=[tap_pb2.Flag.ValueType(flag) for flag in judgement.flags],
        policy_version=judgement.policy_version,
        practice=evidence.practice,
        evidence_sha256=tap.evidence_sha256,
    )


class ReceiptSigner:
    r"""Seals receipts with the receipt key: ECDSA P-256 over "hadir.receipt.v1\0" + content, RFC 6979, r||s."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, key_id: str) -> None:
        self._key = key
        self.key_id = key_id

    def seal(self, tap: AcceptedTap, judgement: Judgement, stored_at: datetime) -> Receipt:
        """The signed receipt of a tap; the same arguments give the same bytes."""
        content = receipt_content(tap, judgement, stored_at).SerializeToString(deterministic=True)
        r, s = decode_dss_signature(self._key.sign(RECEIPT_CONTEXT + content, _SIGN))
        return Receipt(content, r.to_bytes(32, "big") + s.to_bytes(32, "big"), self.key_id)


def tap_accepted(judged: JudgedTap, *, regency: str) -> OutboxEvent:
    """The TapAccepted event of a stored tap. Its id is derived from the tap_id, so a repeat is a duplicate anywhere."""
    tap_id = str(judged.tap.evidence.tap_id)
    event = events_pb2.TapAccepted(device_id=str(judged.tap.device_id), npsn=judged.npsn or "", version=1)
    event.tap.ParseFromString(judged.receipt.content)
    seen = judged.tap.evidence.network
    if seen is not None:
        event.network.type = tap_pb2.NetworkType.ValueType(seen.type)
        if seen.strength_dbm is not None:
            event.network.strength_dbm = seen.strength_dbm
    return OutboxEvent(
        subject=subject(regency, "checkin", "tap_accepted"),
        msg_id=f"tap-{tap_id}",
        event_type=TAP_ACCEPTED,
        source=f"/hadir/{regency}/checkin",
        payload=event.SerializeToString(),
        occurred_at=judged.stored_at,
    )
