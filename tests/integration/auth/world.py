"""What the tests of auth talk about: people, phones, the service and ways to ask it. Owner: auth."""

import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.errors import reason_of
from hadir.auth.v1 import auth_service_pb2 as auth_pb
from hadir.auth.v1 import auth_service_pb2_grpc, people_pb2, roster_service_pb2_grpc
from hadir.auth.v1 import roster_service_pb2 as roster_pb
from services.auth.adapters.tokens import SigningKeys, mint_access_token, mint_service_token
from services.auth.adapters.transactions import Transactions
from services.auth.domain.units import Role, parse_unit

REGENCY = "5202"

SCHOOLS = (
    ("50203000", "SD NEGERI 1 PRAYA", "52.02.01", "Praya"),
    ("50203001", "SD NEGERI 1 JONGGAT", "52.02.02", "Jonggat"),
)
# Names and numbers made up.
PEOPLE = (
    ("198001012005011001", "Ahmad Satu", "50203000", ""),
    ("198001012005011002", "Baiq Dua", "50203000", "Kepala Sekolah"),
    ("198001012005011003", "Cokorda Tiga", "50203001", ""),
    ("198001012005011004", "Dewi Empat", "50203001", "Operator Sekolah"),
)


def school(number: int = 0, **changes: Any) -> people_pb2.School:
    npsn, name, code, district = SCHOOLS[number]
    values: dict[str, Any] = {
        "npsn": npsn, "name": name, "level": "SD", "district_code": code, "district": district,
        "latitude": -8.7, "longitude": 116.2, "fence_radius_m": 100, "week_days": 6,
    }  # fmt: skip
    return people_pb2.School(**(values | changes))


def row(number: int, nip: str, name: str, npsn: str, duty: str = "", **changes: Any) -> roster_pb.RosterRow:
    values: dict[str, Any] = {
        "number": number, "source": 0, "nip": nip, "name": name, "npsn": npsn, "extra_duty": duty,
        "employment_status": "PNS", "staff_kind": "Guru Kelas",
    }  # fmt: skip
    return roster_pb.RosterRow(**(values | changes))


def everyone() -> list[roster_pb.RosterRow]:
    return [row(6 + place, *person) for place, person in enumerate(PEOPLE)]


class MovableClock:
    """The machine's time and what a test adds to it."""

    def __init__(self) -> None:
        self.added = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.added

    def monotonic(self) -> float:
        return time.monotonic()

    def offset(self) -> timedelta:
        return self.added


@dataclass
class Phone:
    """A device key, and what the server said about it."""

    key: ec.EllipticCurvePrivateKey
    answer: auth_pb.EnrollResponse | None = None

    @classmethod
    def new(cls) -> "Phone":
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )


async def refused(call: Awaitable[object]) -> str:
    """The reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason(caught.value)


def reason(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None, error
    locales = [detail for detail in status.details if "LocalizedMessage" in detail.type_url]
    assert len(locales) == 2
    return reason_of(status)


@dataclass
class Auth:
    """The service and ways to ask it."""

    keys: SigningKeys
    clock: MovableClock
    auth: auth_service_pb2_grpc.AuthServiceStub
    roster: roster_service_pb2_grpc.RosterServiceStub
    administrator: asyncpg.Connection
    engine: AsyncEngine
    transactions: Transactions
    registry: CollectorRegistry
    address: str

    def staff(
        self, *roles: Role, unit: str = f"regency:{REGENCY}", regency: str = REGENCY
    ) -> tuple[tuple[str, str]]:
        token = mint_access_token(
            self.keys, subject="staff:test", roles=roles or (Role.PERSONNEL_AGENCY,), unit=parse_unit(unit),
            regency=regency, now=self.clock.now(), lifetime=timedelta(hours=1),
        )  # fmt: skip
        return (("authorization", f"Bearer {token}"),)

    def service(self, name: str = "checkin") -> tuple[tuple[str, str]]:
        token = mint_service_token(
            self.keys, service=name, regency=REGENCY, now=self.clock.now(), lifetime=timedelta(hours=1)
        )
        return (("authorization", f"Bearer {token}"),)

    async def import_rows(
        self,
        rows: list[roster_pb.RosterRow],
        schools: list[people_pb2.School] | None = None,
        *,
        dry_run: bool = False,
        metadata: Any = None,
    ) -> tuple[roster_pb.ImportSummary, list[roster_pb.RowResult]]:
        async def requests() -> AsyncIterator[roster_pb.ImportRosterRequest]:
            yield roster_pb.ImportRosterRequest(
                header=roster_pb.ImportHeader(dry_run=dry_run, sources=["guru.xlsx"])
            )
            listed = [school(0), school(1)] if schools is None else schools
            for start in range(0, len(listed), 500):
                yield roster_pb.ImportRosterRequest(
                    schools=roster_pb.SchoolBatch(schools=listed[start : start + 500])
                )
            for start in range(0, len(rows), 500):
                yield roster_pb.ImportRosterRequest(rows=roster_pb.RowBatch(rows=rows[start : start + 500]))

        results: list[roster_pb.RowResult] = []
        summary = None
        async for response in self.roster.ImportRoster(requests(), metadata=metadata or self.staff()):
            results += response.results
            if response.HasField("summary"):
                summary = response.summary
        assert summary is not None
        return summary, results

    async def codes(self, number: int = 0, *person_ids: str) -> dict[str, roster_pb.ActivationCode]:
        """New codes of a school, by NIP."""
        request = roster_pb.IssueActivationCodesRequest(npsn=SCHOOLS[number][0], person_ids=person_ids)
        answer = await self.roster.IssueActivationCodes(request, metadata=self.staff())
        return {code.nip: code for code in answer.codes}

    async def enroll(
        self, code: roster_pb.ActivationCode, phone: Phone, *, nip: str | None = None
    ) -> auth_pb.EnrollResponse:
        request = auth_pb.EnrollRequest(
            activation_code=code.code, nip=nip or code.nip, public_key=phone.point, device_label="Phone 1"
        )
        phone.answer = await self.auth.Enroll(request)
        return phone.answer

    async def outbox(self, event_type: str) -> list[bytes]:
        found = await self.administrator.fetch(
            "SELECT payload FROM auth.outbox WHERE event_type = $1 ORDER BY id",
            f"hadir.events.v1.{event_type}",
        )
        return [record["payload"] for record in found]
