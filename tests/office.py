"""A school office and its phones for tests on the real system: roster, enrolment and signed taps, all by the API.

Owner: checkin. Everything goes the way a third party would go: gRPC or JSON, nothing but the published surface.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import grpc
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from google.rpc import error_details_pb2, status_pb2

from chassis.tokens import make_proof
from chassis.wire import timestamp
from hadir.auth.v1 import (
    auth_service_pb2,
    auth_service_pb2_grpc,
    people_pb2,
    roster_service_pb2,
    roster_service_pb2_grpc,
)
from hadir.checkin.v1 import checkin_service_pb2, tap_pb2
from ops.stack.target import RunningStack

TAP_CONTEXT = b"hadir.tap.v1\0"
NPSN = "50203000"
OTHER_NPSN = "50203001"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DETAILS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.LocalizedMessage,
)


def uuid7(moment: datetime) -> UUID:
    """A UUIDv7 made at moment."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62) | random.getrandbits(62))


@dataclass(frozen=True)
class Refusal:
    """An error as a caller sees it: code name, reason, both messages, retry delay in seconds, fields at fault."""

    code: str
    reason: str
    messages: dict[str, str]
    retry: float | None
    fields: list[str]

    def __post_init__(self) -> None:
        """Each refusal speaks both languages and has a reason of domain hadir; a check made nowhere else again."""
        assert self.reason
        assert self.messages.get("id-ID")
        assert self.messages.get("en")
        assert self.code not in ("INTERNAL", "UNKNOWN")


def refusal_of(status: status_pb2.Status) -> Refusal:
    """The refusal of a google.rpc.Status."""
    reason, messages, retry, fields = "", {}, None, []
    for packed in status.details:
        for kind in DETAILS:
            detail: Any = kind()
            if packed.Is(detail.DESCRIPTOR):
                packed.Unpack(detail)
                if kind is error_details_pb2.ErrorInfo:
                    assert detail.domain == "hadir"
                    reason = detail.reason
                elif kind is error_details_pb2.LocalizedMessage:
                    messages[detail.locale] = detail.message
                elif kind is error_details_pb2.RetryInfo:
                    retry = detail.retry_delay.ToTimedelta().total_seconds()
                else:
                    fields = [violation.field for violation in detail.field_violations]
    code = next(each.name for each in grpc.StatusCode if each.value[0] == status.code)
    return Refusal(code, reason, messages, retry, fields)


async def refused(call: Any) -> Refusal:
    """The refusal a gRPC call ends with; fails when it succeeds."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    details = dict(caught.value.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert isinstance(details, bytes), f"no details: {caught.value.code()} {caught.value.details()}"
    return refusal_of(status_pb2.Status.FromString(details))


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def refusal(self) -> Refusal:
        """The refusal in a google.rpc.Status as JSON."""
        content = self.json()
        assert self.status >= 400, content
        details: dict[str, Any] = {"retry": None, "fields": [], "messages": {}, "reason": ""}
        for detail in content["details"]:
            kind = detail["@type"].rpartition(".")[2]
            if kind == "ErrorInfo":
                assert detail["domain"] == "hadir"
                details["reason"] = detail["reason"]
            elif kind == "LocalizedMessage":
                details["messages"][detail["locale"]] = detail["message"]
            elif kind == "RetryInfo":
                details["retry"] = float(detail["retryDelay"].removesuffix("s"))
            elif kind == "BadRequest":
                details["fields"] = [each["field"] for each in detail["fieldViolations"]]
        code = next(each.name for each in grpc.StatusCode if each.value[0] == content["code"])
        return Refusal(code=code, **details)


async def http_call(
    base: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One HTTP/1.1 call on a connection of its own; reads while it sends, as browsers do (an early refusal is seen)."""
    where = urlsplit(base)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    fields = {
        "host": where.netloc,
        "content-type": "application/json",
        "connection": "close",
        **(headers or {}),
    }
    fields["content-length"] = str(len(body or b""))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""))
        async with asyncio.timeout(20):
            status = int((await reader.readline()).split()[1])
            received: dict[str, str] = {}
            while line := (await reader.readline()).strip():
                name, _, value = line.decode("latin-1").partition(":")
                received[name.lower()] = value.strip()
            if "content-length" in received:
                content = await reader.readexactly(int(received["content-length"]))
            else:
                content = await _chunks(reader)
        return Answer(status, received, content)
    finally:
        writer.transport.abort()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while length := int(await reader.readline(), 16):
        content += (await reader.readexactly(length + 2))[:-2]
    return content


@dataclass
class Phone:
    """One teacher's phone: key, certificate, and what it signs."""

    nip: str
    key: ec.EllipticCurvePrivateKey
    certificate: str
    device_id: str
    person_id: str
    regency: str
    session: str = field(default_factory=lambda: str(uuid4()))

    def evidence(self, moment: datetime | None = None, **changes: Any) -> bytes:
        """Evidence of a press at moment (now), with changes to its fields."""
        at = moment or datetime.now(UTC)
        message = tap_pb2.TapEvidence(
            tap_id=str(uuid7(at)),
            person_id=self.person_id,
            slot=tap_pb2.SLOT_IN,
            audience=self.regency,
            pressed_at=timestamp(at),
            location=tap_pb2.Location(latitude=-8.71557, longitude=116.249051, accuracy_m=8),
        )
        for name, value in changes.items():
            if hasattr(value, "DESCRIPTOR"):
                getattr(message, name).CopyFrom(value)
            else:
                setattr(message, name, value)
        return message.SerializeToString()

    def sign(self, message: bytes, *, der: bool = False) -> bytes:
        """ECDSA P-256 / SHA-256: r||s as WebCrypto, or DER as Android's Keystore."""
        signature = self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        if der:
            return signature
        r, s = decode_dss_signature(signature)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def tap(self, evidence: bytes | None = None, **changes: Any) -> tap_pb2.Tap:
        """A signed tap, with changes to its fields."""
        data = self.evidence() if evidence is None else evidence
        values: dict[str, Any] = {
            "evidence": data,
            "signature": self.sign(TAP_CONTEXT + data),
            "device_certificate": self.certificate,
            "transport": tap_pb2.Transport(attempt=1, queued_ms=20),
            **changes,
        }
        return tap_pb2.Tap(**values)

    def submit(self, evidence: bytes | None = None, **changes: Any) -> checkin_service_pb2.SubmitTapRequest:
        """A SubmitTap request."""
        return checkin_service_pb2.SubmitTapRequest(tap=self.tap(evidence, **changes))

    def credentials(self, method: str, now: datetime | None = None) -> tuple[tuple[str, str], ...]:
        """Metadata that proves who calls method (full gRPC name)."""
        proof = make_proof(self.key, method=method, token=self.certificate, now=now or datetime.now(UTC))
        return (("authorization", f"DPoP {self.certificate}"), ("dpop", proof))


def public_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key as SEC 1 uncompressed point."""
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


class Office:
    """The staff side of a test: roster, codes, enrolment, over the edge's gRPC."""

    def __init__(self, target: RunningStack) -> None:
        self.target = target
        self.channel = grpc.aio.insecure_channel(target.edge_grpc)
        self.staff = (("authorization", f"Bearer {target.staff_token()}"),)
        self.auth = auth_service_pb2_grpc.AuthServiceStub(self.channel)
        self.roster = roster_service_pb2_grpc.RosterServiceStub(self.channel)
        self._unused: dict[str, list[roster_service_pb2.ActivationCode]] = {}

    async def import_people(self, nips: Sequence[str], npsn: str = NPSN) -> roster_service_pb2.ImportSummary:
        """Import two schools (five-day 50203000, six-day 50203001) and people of one of them."""

        async def stream() -> AsyncIterator[roster_service_pb2.ImportRosterRequest]:
            yield roster_service_pb2.ImportRosterRequest(
                header=roster_service_pb2.ImportHeader(sources=["office"])
            )
            yield roster_service_pb2.ImportRosterRequest(
                schools=roster_service_pb2.SchoolBatch(
                    schools=[
                        people_pb2.School(
                            npsn=code,
                            name=f"SD NEGERI {code}",
                            level="SD",
                            district_code="52.02.01",
                            district="Praya",
                            latitude=-8.71557,
                            longitude=116.249051,
                            fence_radius_m=75,
                            week_days=days,
                        )
                        for code, days in ((NPSN, 5), (OTHER_NPSN, 6))
                    ]
                )
            )
            yield roster_service_pb2.ImportRosterRequest(
                rows=roster_service_pb2.RowBatch(
                    rows=[
                        roster_service_pb2.RosterRow(
                            number=6 + number,
                            name=f"Guru {chr(65 + number % 26)}{chr(97 + number // 26)}",
                            nip=nip,
                            employment_status="PNS",
                            staff_kind="Guru",
                            npsn=npsn,
                        )
                        for number, nip in enumerate(nips)
                    ]
                )
            )

        summary: roster_service_pb2.ImportSummary | None = None
        async for message in self.roster.ImportRoster(stream(), metadata=self.staff):
            assert not [r for r in message.results if r.outcome == roster_service_pb2.ROW_OUTCOME_REFUSED], (
                message
            )
            if message.HasField("summary"):
                summary = message.summary
        assert summary is not None
        return summary

    async def codes(self, npsn: str = NPSN) -> list[roster_service_pb2.ActivationCode]:
        """New activation codes of everyone of the school without a device."""
        request = roster_service_pb2.IssueActivationCodesRequest(npsn=npsn)
        return list((await self.roster.IssueActivationCodes(request, metadata=self.staff)).codes)

    async def enroll(self, code: roster_service_pb2.ActivationCode) -> Phone:
        """A phone bound with a code."""
        key = ec.generate_private_key(ec.SECP256R1())
        answer = await self.auth.Enroll(
            auth_service_pb2.EnrollRequest(
                activation_code=code.code, nip=code.nip, public_key=public_point(key), device_label="Uji"
            )
        )
        return Phone(
            nip=code.nip,
            key=key,
            certificate=answer.device_certificate,
            device_id=answer.device_id,
            person_id=answer.person_id,
            regency=answer.regency,
        )

    async def phone(self, npsn: str = NPSN) -> Phone:
        """A freshly enrolled phone of a person nobody else uses."""
        unused = self._unused.get(npsn)
        if not unused:
            self._unused[npsn] = unused = await self.codes(npsn)
        return await self.enroll(unused.pop())

    async def close(self) -> None:
        """Close the channel."""
        await self.channel.close()


def nips(count: int, *, first: int = 1) -> list[str]:
    """Valid NIPs of people born on 1 January 1980."""
    return [f"19800101200501{1 + serial % 2}{serial:03d}" for serial in range(first, first + count)]
