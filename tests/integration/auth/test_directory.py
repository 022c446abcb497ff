"""Listing people, issuing codes, replacing devices: scopes, paging, and the trail."""

from collections.abc import Awaitable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from hadir.auth.v1 import people_pb2
from hadir.auth.v1 import roster_service_pb2 as pb
from hadir.events.v1 import events_pb2
from services.auth.domain.units import Role
from tests.integration.auth.world import PEOPLE, Auth, Phone, refused

NOBODY = "01890000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("unit", "seen"),
    [("regency:5202", 4), ("district:52.02.01", 2), ("school:50203001", 2), ("school:50209999", 0)],
)
async def test_everyone_sees_their_unit(peopled: Auth, unit: str, seen: int) -> None:
    metadata = peopled.staff(Role.SCHOOL_OPERATOR, unit=unit)
    page = await peopled.roster.ListPeople(pb.ListPeopleRequest(), metadata=metadata)
    assert len(page.people) == seen
    assert {school.npsn for school in page.schools} == {person.npsn for person in page.people}


async def test_pages_are_by_id_and_complete(peopled: Auth) -> None:
    seen: list[str] = []
    token = ""
    while True:
        page = await peopled.roster.ListPeople(
            pb.ListPeopleRequest(page_size=3, page_token=token), metadata=peopled.service()
        )
        seen += [person.person_id for person in page.people]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(seen)
    assert len(set(seen)) == 4


@pytest.mark.parametrize("token", ["x", "!!!!", "AAAA", "a" * 128])
async def test_a_page_token_of_others_is_refused(peopled: Auth, token: str) -> None:
    call = peopled.roster.ListPeople(pb.ListPeopleRequest(page_token=token), metadata=peopled.staff())
    assert await refused(call) == "PAGE_TOKEN_INVALID"


async def test_reading_people_leaves_a_trail_of_humans(peopled: Auth) -> None:
    await peopled.roster.ListPeople(pb.ListPeopleRequest(), metadata=peopled.service())
    await peopled.roster.ListPeople(
        pb.ListPeopleRequest(npsn="50203000"), metadata=peopled.staff(Role.AUDITOR)
    )
    rows = await peopled.administrator.fetch("SELECT * FROM auth.trail WHERE action = 'LIST_PEOPLE'")
    assert [(r["actor"], r["unit"], r["npsn"], r["people"]) for r in rows] == [
        ("staff:test", "regency:5202", "50203000", 2)
    ]


async def test_nobody_acts_outside_their_unit(peopled: Auth) -> None:
    [_, _, outside, _] = await _ids(peopled)
    calls: list[Awaitable[object]] = []
    for unit in ("school:50203000", "district:52.02.01", "school:50209999", "regency:5203"):
        who = peopled.staff(Role.SCHOOL_OPERATOR, unit=unit)
        calls += [
            peopled.roster.ListPeople(pb.ListPeopleRequest(npsn="50203001"), metadata=who),
            peopled.roster.IssueActivationCodes(
                pb.IssueActivationCodesRequest(npsn="50203001"), metadata=who
            ),
            peopled.roster.ReplaceDevice(
                pb.ReplaceDeviceRequest(person_id=outside, reason="r"), metadata=who
            ),
            # What does not exist looks the same as what is not theirs.
            peopled.roster.ListPeople(pb.ListPeopleRequest(npsn="59999999"), metadata=who),
            peopled.roster.ReplaceDevice(pb.ReplaceDeviceRequest(person_id=NOBODY, reason="r"), metadata=who),
        ]
    assert {await refused(call) for call in calls} == {"OUT_OF_SCOPE"}


async def test_the_agency_learns_what_does_not_exist(peopled: Auth) -> None:
    who = peopled.staff()
    issue = peopled.roster.IssueActivationCodes
    assert (
        await refused(issue(pb.IssueActivationCodesRequest(npsn="59999999"), metadata=who))
        == "SCHOOL_NOT_FOUND"
    )
    request = pb.IssueActivationCodesRequest(npsn="50203000", person_ids=[NOBODY])
    assert await refused(issue(request, metadata=who)) == "PERSON_NOT_FOUND"
    [_, _, elsewhere, _] = await _ids(peopled)
    request = pb.IssueActivationCodesRequest(npsn="50203000", person_ids=[elsewhere])
    assert await refused(issue(request, metadata=who)) == "PERSON_NOT_FOUND"
    replace = peopled.roster.ReplaceDevice(
        pb.ReplaceDeviceRequest(person_id=NOBODY, reason="r"), metadata=who
    )
    assert await refused(replace) == "PERSON_NOT_FOUND"


@pytest.mark.parametrize("role", [Role.TEACHER, Role.ICT_AGENCY, Role.LIAISON, Role.EDUCATION_AGENCY])
async def test_roles_that_may_not(peopled: Auth, role: Role) -> None:
    request = pb.IssueActivationCodesRequest(npsn="50203000")
    call = peopled.roster.IssueActivationCodes(request, metadata=peopled.staff(role))
    assert await refused(call) == "ROLE_NOT_ALLOWED"


async def test_a_school_role_imports_nothing(peopled: Auth) -> None:
    who = peopled.staff(Role.PERSONNEL_AGENCY, unit="school:50203000")
    assert await refused(peopled.import_rows([], metadata=who)) == "OUT_OF_SCOPE"


async def test_codes_are_for_people_without_a_device_and_leave_a_trail(peopled: Auth) -> None:
    codes = await peopled.codes()
    assert sorted(codes) == [PEOPLE[0][0], PEOPLE[1][0]]
    bound = codes[PEOPLE[0][0]]
    await peopled.enroll(bound, Phone.new())
    assert sorted(await peopled.codes()) == [PEOPLE[1][0]]
    request = pb.IssueActivationCodesRequest(npsn="50203000", person_ids=[bound.person_id])
    call = peopled.roster.IssueActivationCodes(request, metadata=peopled.staff())
    assert await refused(call) == "DEVICE_ALREADY_BOUND"
    rows = await peopled.administrator.fetch(
        "SELECT npsn, people FROM auth.trail WHERE action = 'ISSUE_ACTIVATION_CODES' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [("50203000", 2), ("50203000", 1)]
    stored = await peopled.administrator.fetch("SELECT digest::text FROM auth.activation_codes")
    assert not [row for row in stored if any(code.code[:4] in row[0] for code in codes.values())]


async def test_a_replaced_device_is_revoked_told_and_in_the_trail(peopled: Auth) -> None:
    code = (await peopled.codes())[PEOPLE[0][0]]
    first = await peopled.enroll(code, Phone.new())
    request = pb.ReplaceDeviceRequest(person_id=code.person_id, reason="HP hilang")
    operator = peopled.staff(Role.SCHOOL_OPERATOR, unit="school:50203000")
    answer = await peopled.roster.ReplaceDevice(request, metadata=operator)
    assert answer.revoked.device_id == first.device_id
    assert answer.revoked.status == people_pb2.DEVICE_STATUS_REVOKED
    assert answer.revoked.HasField("revoked_at")
    second = await peopled.enroll(answer.code, Phone.new())
    assert second.device_id != first.device_id
    told = [
        events_pb2.DeviceChanged.FromString(body).device for body in await peopled.outbox("DeviceChanged")
    ]
    assert [(device.device_id, device.version, device.status) for device in told] == [
        (first.device_id, 1, people_pb2.DEVICE_STATUS_ACTIVE),
        (first.device_id, 2, people_pb2.DEVICE_STATUS_REVOKED),
        (second.device_id, 1, people_pb2.DEVICE_STATUS_ACTIVE),
    ]
    rows = await peopled.administrator.fetch("SELECT * FROM auth.trail WHERE action = 'REPLACE_DEVICE'")
    [(actor, unit, person, reason)] = [
        (r["actor"], r["unit"], str(r["person_id"]), r["reason"]) for r in rows
    ]
    assert (actor, unit, person, reason) == ("staff:test", "school:50203000", code.person_id, "HP hilang")
    again = await peopled.roster.ReplaceDevice(request, metadata=operator)
    once_more = await peopled.roster.ReplaceDevice(request, metadata=operator)
    assert again.HasField("revoked")
    assert not once_more.HasField("revoked")
    assert once_more.code.code != again.code.code


async def test_a_revoked_key_does_not_come_back(peopled: Auth) -> None:
    code = (await peopled.codes())[PEOPLE[0][0]]
    phone = Phone.new()
    await peopled.enroll(code, phone)
    request = pb.ReplaceDeviceRequest(person_id=code.person_id, reason="r")
    answer = await peopled.roster.ReplaceDevice(request, metadata=peopled.staff())
    assert await refused(peopled.enroll(answer.code, phone)) == "KEY_ALREADY_BOUND"
    assert await refused(peopled.enroll(code, phone)) == "ACTIVATION_CODE_USED"


async def test_the_serving_role_cannot_rewrite_the_trail(peopled: Auth) -> None:
    for change in ("DELETE FROM auth.trail", "UPDATE auth.trail SET actor = 'x'", "DELETE FROM auth.devices"):
        async with peopled.engine.connect() as connection:
            with pytest.raises(ProgrammingError, match="permission denied"):
                await connection.execute(text(change))


async def _ids(world: Auth) -> list[str]:
    rows = await world.administrator.fetch("SELECT person_id FROM auth.people ORDER BY staff_number")
    return [str(row["person_id"]) for row in rows]
