"""Texts that no database holds, or that mean something to one: typed refusals, or stored as they are."""

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from hadir.auth.v1 import auth_service_pb2 as auth_pb
from hadir.auth.v1 import roster_service_pb2 as pb
from tests.integration.auth.world import Auth, Phone, everyone, reason, row, school

NASTY = (
    "a\0b",
    "'; DROP TABLE auth.people; --",
    "{0}%s$1:x",
    "\u202egnirts",
    "\U0001f469\u200d\U0001f3eb",
    "\ufffd",
    "\x1b[31m",
)
COLUMNS = (
    "name", "nip", "nuptk", "employment_status", "staff_kind", "extra_duty", "phone", "npsn", "school_name",
)  # fmt: skip


async def ended(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason(error)
    return "OK"


@pytest.mark.parametrize("text", NASTY)
async def test_every_text_field_is_safe(peopled: Auth, text: str) -> None:
    who = peopled.staff()
    [code, other] = (await peopled.codes()).values()
    label = auth_pb.EnrollRequest(
        activation_code=code.code, nip=code.nip, public_key=Phone.new().point, device_label=text
    )
    nip = auth_pb.EnrollRequest(activation_code=other.code, nip=text, public_key=Phone.new().point)
    typed = auth_pb.EnrollRequest(activation_code=text + "12345678", nip="1", public_key=Phone.new().point)
    issue = pb.IssueActivationCodesRequest(npsn=text[:16])
    replace = pb.ReplaceDeviceRequest(person_id=code.person_id, reason=text)
    calls: list[Awaitable[object]] = [
        peopled.auth.Enroll(label),
        peopled.auth.Enroll(nip),
        peopled.auth.Enroll(typed),
        peopled.roster.ListPeople(pb.ListPeopleRequest(npsn=text[:16]), metadata=who),
        peopled.roster.IssueActivationCodes(issue, metadata=who),
        peopled.roster.ReplaceDevice(replace, metadata=who),
        peopled.import_rows([], [school(0, name=text)]),
        peopled.import_rows([], [school(0, level=text)]),
    ]
    answers = [await ended(call) for call in calls]
    assert set(answers) <= {"OK", "INVALID_FIELDS", "ACTIVATION_CODE_INVALID", "SCHOOL_NOT_FOUND"}, answers
    assert await peopled.administrator.fetchval("SELECT count(*) FROM auth.people") == 4


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("column", COLUMNS)
async def test_every_cell_of_a_row_is_safe(service: Auth, column: str, text: str) -> None:
    changes: dict[str, Any] = {column: text}
    odd = row(99, "198001012005011099", "Guru Biasa", "50203000")
    odd.MergeFrom(pb.RosterRow(**changes))
    summary, results = await service.import_rows([*everyone(), odd])
    assert summary.accepted + summary.refused == 5
    assert summary.accepted >= 4
    assert {result.number for result in results} <= {99}
