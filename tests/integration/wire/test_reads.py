"""What a phone reads, who may read it, and what is not offered yet."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from chassis.tokens import issue, public_key_from_jwk
from hadir.checkin.v1 import (
    checkin_service_pb2,
    incident_service_pb2,
    incident_service_pb2_grpc,
    policy_service_pb2,
    policy_service_pb2_grpc,
    tap_pb2,
)
from ops.stack.stack import Stack
from tests.integration.wire.conftest import Doors
from tests.office import OTHER_NPSN, Office, http_call, refused

SERVICE = "/hadir.checkin.v1.CheckinService/"


async def until(what: Any, seconds: float = 20.0) -> Any:
    """The first true answer of an async callable."""
    import asyncio

    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        answer = await what()
        if answer or loop.time() > end:
            return answer
        await asyncio.sleep(0.1)


async def test_a_plan_has_windows_and_fence(office: Office, doors: Doors) -> None:
    phone = await office.phone(OTHER_NPSN)

    async def with_fence() -> checkin_service_pb2.GetPlanResponse | None:
        plan = await doors.edge.GetPlan(
            checkin_service_pb2.GetPlanRequest(), metadata=phone.credentials(f"{SERVICE}GetPlan")
        )
        return plan if plan.HasField("fence") else None

    plan = await until(with_fence)
    assert plan is not None
    assert plan.fence.radius_m == 75
    assert len(plan.days) == 7
    assert plan.zone == "Asia/Makassar"
    assert plan.late_sync.ToTimedelta() == timedelta(hours=72)
    # A six-day school: Sunday alone is free.
    free = [day for day in plan.days if not day.working_day]
    assert len(free) == 1
    assert datetime.fromisoformat(free[0].work_date).isoweekday() == 7
    assert free[0].reason


async def test_my_day_shows_my_taps_with_receipts_that_verify(
    office: Office, doors: Doors, system: Stack
) -> None:
    phone = await office.phone()
    answer = await doors.edge.SubmitTap(phone.submit())
    work_date = tap_pb2.ReceiptContent.FromString(answer.receipt.content).work_date
    day = await doors.second.GetMyDay(
        checkin_service_pb2.GetMyDayRequest(work_date=work_date),
        metadata=phone.credentials(f"{SERVICE}GetMyDay"),
    )
    assert list(day.receipts) == [answer.receipt]
    edge = system.target.edge
    assert edge is not None
    jwks = (await http_call(edge, "GET", "/v1/receipt-keys")).json()["keys"]
    jwk = next(key for key in jwks if key["kid"] == answer.receipt.key_id)
    r, s = answer.receipt.signature[:32], answer.receipt.signature[32:]
    public_key_from_jwk(jwk).verify(
        encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")),
        b"hadir.receipt.v1\0" + answer.receipt.content,
        ec.ECDSA(hashes.SHA256()),
    )


async def test_reads_need_the_devices_own_fresh_proof(office: Office, doors: Doors) -> None:
    phone, other = await office.phone(), await office.phone()
    request = checkin_service_pb2.GetMyDayRequest()
    method = f"{SERVICE}GetMyDay"
    stolen = (("authorization", f"DPoP {phone.certificate}"), other.credentials(method)[1])
    cases: list[tuple[tuple[tuple[str, str], ...], str]] = [
        ((), "TOKEN_MISSING"),
        ((("authorization", f"Bearer {phone.certificate}"),), "PROOF_MISSING"),
        ((("authorization", f"DPoP {phone.certificate}"),), "PROOF_MISSING"),
        (stolen, "PROOF_INVALID"),
        (phone.credentials(f"{SERVICE}GetPlan"), "PROOF_INVALID"),
        (phone.credentials(method, datetime.now(UTC) - timedelta(minutes=6)), "PROOF_STALE"),
        ((("authorization", "Bearer nonsense"),), "TOKEN_INVALID"),
    ]
    for metadata, reason in cases:
        refusal = await refused(doors.edge.GetMyDay(request, metadata=metadata))
        assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", reason)


async def test_staff_list_taps_and_teachers_do_not(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    answer = await doors.edge.SubmitTap(phone.submit())
    practice = await doors.edge.SubmitTap(phone.submit(phone.evidence(practice=True)))
    listed = [
        tap.receipt
        async for message in doors.edge.ListTaps(checkin_service_pb2.ListTapsRequest(), metadata=office.staff)
        for tap in message.taps
    ]
    assert answer.receipt in listed
    assert practice.receipt not in listed
    call = doors.edge.ListTaps(
        checkin_service_pb2.ListTapsRequest(), metadata=phone.credentials(f"{SERVICE}ListTaps")
    )
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call.read()
    assert refusal.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


async def test_a_unit_smaller_than_the_regency_lists_no_taps(doors: Doors, system: Stack) -> None:
    pem = system.layout.secret("auth-signing-key.pem").read_bytes()
    signer = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    for unit, reason in (
        ("school:50203001", "OUT_OF_SCOPE"),
        ("district:52.02.01", "OUT_OF_SCOPE"),
        ("regency:5202", ""),
    ):
        token = issue(
            signer,
            kind="access",
            subject="staff:test",
            regency="5202",
            now=datetime.now(UTC),
            lifetime=timedelta(hours=1),
            claims={"roles": ["auditor"], "unit": unit},
        )
        call = doors.first.ListTaps(
            checkin_service_pb2.ListTapsRequest(), metadata=(("authorization", f"Bearer {token}"),)
        )
        if reason:
            assert (await refused(call.read())).reason == reason
        else:
            await call.read()


BAD_DATES = ("0001-01-01", "9999-12-31", "1999-12-31", "2026-02-30", "2026-13-01")


async def test_odd_values_are_the_callers_mistake_everywhere(office: Office, doors: Doors) -> None:
    """Whatever comes, no served method of checkin answers INTERNAL, UNKNOWN, or as if the database were away."""
    phone = await office.phone()
    policies = policy_service_pb2_grpc.PolicyServiceStub(office.channel)
    mine = phone.credentials(f"{SERVICE}GetMyDay")
    staff = office.staff
    refusals = [
        await refused(doors.edge.GetMyDay(checkin_service_pb2.GetMyDayRequest(work_date=date), metadata=mine))
        for date in BAD_DATES
    ]
    refusals += [
        await refused(
            policies.GetLoadForecast(policy_service_pb2.GetLoadForecastRequest(date=date), metadata=staff)
        )
        for date in BAD_DATES
    ]
    listings = [checkin_service_pb2.ListTapsRequest(from_work_date=date) for date in BAD_DATES]
    listings += [
        checkin_service_pb2.ListTapsRequest(after_tap_id=value) for value in ("-" * 36, "x", "a\0b", "0" * 36)
    ]
    refusals += [await refused(doors.edge.ListTaps(each, metadata=staff).read()) for each in listings]
    refusals += [
        await refused(
            doors.edge.GetClock(checkin_service_pb2.GetClockRequest(device_id=value, clock_session_id=value))
        )
        for value in ("", "-" * 36, "a\0b")
    ]
    refusals.append(
        await refused(
            doors.edge.GetPlan(
                checkin_service_pb2.GetPlanRequest(days=32), metadata=phone.credentials(f"{SERVICE}GetPlan")
            )
        )
    )
    assert {refusal.code for refusal in refusals} == {"INVALID_ARGUMENT"}


async def test_dates_that_do_not_exist_are_named(office: Office, doors: Doors) -> None:
    phone = await office.phone()
    refusal = await refused(
        doors.edge.GetMyDay(
            checkin_service_pb2.GetMyDayRequest(work_date="2027-02-30"),
            metadata=phone.credentials(f"{SERVICE}GetMyDay"),
        )
    )
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ["work_date"])


async def test_the_forecast_counts_heads_by_working_week(office: Office) -> None:
    stub = policy_service_pb2_grpc.PolicyServiceStub(office.channel)

    async def forecast(date: str) -> policy_service_pb2.GetLoadForecastResponse:
        return await stub.GetLoadForecast(
            policy_service_pb2.GetLoadForecastRequest(date=date), metadata=office.staff
        )

    async def complete() -> bool:
        return (await forecast("2027-03-15")).people == 120

    assert await until(complete)
    monday = await forecast("2027-03-15")
    heads = {(window.week_days, window.slot): window.heads for window in monday.windows}
    assert heads == {
        (5, tap_pb2.SLOT_IN): 80,
        (5, tap_pb2.SLOT_OUT): 80,
        (6, tap_pb2.SLOT_IN): 40,
        (6, tap_pb2.SLOT_OUT): 40,
    }
    saturday = await forecast("2027-03-20")
    assert {window.week_days for window in saturday.windows} == {6}
    assert not (await forecast("2027-03-21")).working_day
    refusal = await refused(stub.GetLoadForecast(policy_service_pb2.GetLoadForecastRequest()))
    assert refusal.reason == "TOKEN_MISSING"


async def test_what_comes_later_says_so(office: Office) -> None:
    incidents = incident_service_pb2_grpc.IncidentServiceStub(office.channel)
    policies = policy_service_pb2_grpc.PolicyServiceStub(office.channel)
    for call in (
        incidents.ListIncidents(incident_service_pb2.ListIncidentsRequest()),
        policies.ListPolicies(policy_service_pb2.ListPoliciesRequest()),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("UNIMPLEMENTED", "NOT_YET_AVAILABLE")
