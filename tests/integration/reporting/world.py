"""What the tests of reporting talk about: people and taps as events, and the service to ask. Owner: reporting."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5
from zoneinfo import ZoneInfo

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message
from grpc_status import rpc_status
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.errors import reason_of
from chassis.jetstream import STREAM, Event, cloud_event_headers, ensure_stream, stream_config, subject
from chassis.tokens import issue, make_proof, public_jwk
from chassis.wire import timestamp
from hadir.auth.v1 import people_pb2
from hadir.checkin.v1 import tap_pb2
from hadir.events.v1 import events_pb2
from hadir.reporting.v1 import reporting_service_pb2 as pb
from hadir.reporting.v1 import reporting_service_pb2_grpc
from services.reporting.adapters.read_model import PostgresReadModel

ZONE = ZoneInfo("Asia/Makassar")
MONDAY = date(2026, 8, 3)
PLACE = UUID("6f1c2a70-0000-4000-8000-000000000000")
_REGENCIES = itertools.count(7001)

# NPSN, district, week.
SCHOOLS = (("50203000", "52.02.01", 6), ("50203001", "52.02.01", 5), ("50203002", "52.02.02", 6))


def new_regency() -> str:
    """A regency that no other test uses: tests share a server."""
    return str(next(_REGENCIES))


def local(clock: str, day: date = MONDAY) -> datetime:
    """A local time of day as a moment."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZONE).astimezone(UTC)


class WorldClock:
    """Stands still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return time.monotonic()

    def offset(self) -> timedelta:
        return timedelta(0)


def person_id(regency: str, number: int) -> str:
    return str(uuid5(PLACE, f"{regency}/{number}"))


def person(
    regency: str,
    number: int,
    *,
    school: int = 0,
    version: int = 1,
    active: bool = True,
    school_version: int = 1,
    **of_school: Any,
) -> events_pb2.PersonChanged:
    """PersonChanged of person `number`."""
    npsn, district, week = SCHOOLS[school]
    values: dict[str, Any] = {
        "week_days": week,
        "name": f"SD {npsn}",
        "district": f"Kec {district}",
    } | of_school
    return events_pb2.PersonChanged(
        regency=regency,
        person=people_pb2.Person(
            person_id=person_id(regency, number),
            nip=f"{number:018}",
            name=f"Guru {number}",
            npsn=npsn,
            active=active,
            version=version,
        ),
        school=people_pb2.School(npsn=npsn, district_code=district, **values),
        school_version=school_version,
    )


def tap(
    regency: str,
    number: int,
    clock: str = "06:55:00",
    *,
    slot: int = tap_pb2.SLOT_IN,
    day: date = MONDAY,
    wait: float = 0.25,
    school: int | None = 0,
    name: str = "",
    **changes: Any,
) -> events_pb2.TapAccepted:
    """TapAccepted by person `number`; `name` tells two taps of one person and slot apart."""
    at = local(clock, day)
    content = tap_pb2.ReceiptContent(
        tap_id=str(uuid5(PLACE, f"{regency}/{number}/{slot}/{day}/{clock}/{name}")),
        person_id=person_id(regency, number),
        regency=regency,
        slot=tap_pb2.Slot.ValueType(slot),
        work_date=day.isoformat(),
        official_time=timestamp(at),
        arrival_time=timestamp(at + timedelta(seconds=0.1)),
        stored_time=timestamp(at + timedelta(seconds=0.1 + wait)),
        time_grade=tap_pb2.TIME_GRADE_ANCHORED,
        verdict=tap_pb2.VERDICT_ON_TIME,
        policy_version=1,
        evidence_sha256=b"\0" * 32,
    )
    for key, value in changes.items():
        if key == "flags":
            content.flags.extend(value)
        else:
            setattr(content, key, value)
    return events_pb2.TapAccepted(
        tap=content,
        device_id=str(uuid5(PLACE, f"{regency}/{number}/device")),
        npsn="" if school is None else SCHOOLS[school][0],
        version=1,
    )


def device(
    regency: str, device_id: str, *, revoked: bool = True, version: int = 2
) -> events_pb2.DeviceChanged:
    """DeviceChanged of a phone."""
    status = people_pb2.DEVICE_STATUS_REVOKED if revoked else people_pb2.DEVICE_STATUS_ACTIVE
    return events_pb2.DeviceChanged(
        device=people_pb2.Device(
            device_id=device_id,
            regency=regency,
            status=status,
            revoked_at=timestamp(local("07:00:00")) if revoked else None,
            version=version,
        )
    )


def event(message: Message, *, at: datetime | None = None) -> Event:
    """An event as a handler sees it."""
    return Event(
        type=message.DESCRIPTOR.full_name,
        msg_id=str(uuid4()),
        subject="",
        source="",
        message=message,
        stream_seq=1,
        time=at or local("00:00:00", MONDAY - timedelta(days=10)),
        deliveries=1,
    )


def model_of(regency: str) -> Callable[[Any], PostgresReadModel]:
    return lambda connection: PostgresReadModel(connection, regency=regency)


async def dump(engine: AsyncEngine, regency: str) -> dict[str, list[dict[str, Any]]]:
    """The whole read model but for what says when and how often."""
    tables: dict[str, list[dict[str, Any]]] = {}
    async with engine.connect() as connection:
        for table in ("schools", "people", "taps", "days"):
            rows = await connection.execute(
                text(f"SELECT * FROM reporting.{table} WHERE regency = :regency"),  # noqa: S608
                {"regency": regency},
            )
            tables[table] = sorted(
                (
                    {
                        key: value
                        for key, value in row._mapping.items()
                        if key not in {"regency", "revision", "assessed_at"}
                    }
                    for row in rows
                ),
                key=str,
            )
    return tables


@dataclass
class Stream:
    """NATS as others use it: who publishes in auth's and checkin's name, and who reads."""

    client: Client

    async def publish(
        self,
        messages: Iterable[Message],
        *,
        regency: str,
        at: datetime | None = None,
        msg_id: str | None = None,
    ) -> None:
        """As the services' relays do."""
        js = self.client.jetstream()
        await ensure_stream(js, stream_config())
        for message in messages:
            kind = message.DESCRIPTOR.name
            service, name = {
                "PersonChanged": ("auth", "person_changed"),
                "TapAccepted": ("checkin", "tap_accepted"),
                "DeviceChanged": ("auth", "device_changed"),
            }[kind]
            headers = cloud_event_headers(
                msg_id=msg_id or str(uuid4()),
                event_type=message.DESCRIPTOR.full_name,
                source=f"/hadir/{regency}/{service}",
                occurred_at=at or local("00:00:00", MONDAY - timedelta(days=10)),
            )
            await js.publish(
                subject(regency, service, name), message.SerializeToString(), headers=headers, stream=STREAM
            )

    async def days(self, regency: str) -> list[events_pb2.DayAssessed]:
        """All DayAssessed of a regency, in stream order."""
        js = self.client.jetstream()
        found: list[events_pb2.DayAssessed] = []
        on = subject(regency, "reporting", "day_assessed")
        info = await js.stream_info(STREAM, subjects_filter=on)
        pending = (info.state.subjects or {}).get(on, 0)
        subscription = await js.subscribe(on, ordered_consumer=True, stream=STREAM)
        while len(found) < pending:
            message = await subscription.next_msg(timeout=5)
            assert (message.headers or {})["ce-type"] == "hadir.events.v1.DayAssessed"
            found.append(events_pb2.DayAssessed.FromString(message.data))
        await subscription.unsubscribe()
        return found


@dataclass
class Reporting:
    """The running service, and callers of it."""

    regency: str
    clock: WorldClock
    address: str
    channel: grpc.aio.Channel
    key: ec.EllipticCurvePrivateKey
    phone: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def stub(self) -> Any:
        return reporting_service_pb2_grpc.ReportingServiceStub(self.channel)

    def staff(self, role: str = "personnel_agency", unit: str | None = None) -> Mapping[str, Any]:
        """Arguments of a call by somebody with a role."""
        token = issue(
            self.key,
            kind="access",
            subject=str(uuid4()),
            regency=self.regency,
            now=self.clock.now(),
            lifetime=timedelta(hours=1),
            claims={"roles": [role], "unit": unit or f"regency:{self.regency}"},
        )
        return {"metadata": (("authorization", f"Bearer {token}"),)}

    def teacher(
        self, number: int, method: str = "ListDays", *, device_id: str | None = None
    ) -> Mapping[str, Any]:
        """Arguments of a call by a person's phone."""
        certificate = issue(
            self.key,
            kind="device",
            subject=person_id(self.regency, number),
            regency=self.regency,
            now=self.clock.now(),
            lifetime=timedelta(days=30),
            claims={
                "dev": device_id or str(uuid4()),
                "sch": SCHOOLS[0][0],
                "cnf": {"jwk": public_jwk(self.phone.public_key())},
            },
        )
        proof = make_proof(
            self.phone,
            method=f"/hadir.reporting.v1.ReportingService/{method}",
            token=certificate,
            now=self.clock.now(),
        )
        return {"metadata": (("authorization", f"DPoP {certificate}"), ("dpop", proof))}

    async def until_present(self, present: int, *, seconds: float = 20.0) -> pb.GetBoardResponse:
        """Waits until the board says so."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    board: pb.GetBoardResponse = await self.stub.GetBoard(
                        pb.GetBoardRequest(work_date=MONDAY.isoformat()), **self.staff()
                    )
                except grpc.aio.AioRpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise
                else:
                    if board.total.present == present:
                        return board
                await asyncio.sleep(0.05)


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """The code and reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    return caught.value.code(), reason_of(status)
