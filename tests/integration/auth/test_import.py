"""ImportRoster: what it stores and tells, what it refuses, and that nothing half done remains."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from hadir.auth.v1 import roster_service_pb2 as pb
from hadir.events.v1 import events_pb2
from tests.integration.auth.world import Auth, everyone, refused, row, school


async def told(world: Auth) -> list[events_pb2.PersonChanged]:
    return [events_pb2.PersonChanged.FromString(body) for body in await world.outbox("PersonChanged")]


async def test_new_people_are_stored_and_told_with_their_school(service: Auth) -> None:
    summary, results = await service.import_rows(everyone())
    assert (summary.accepted, summary.created, summary.refused, summary.schools_changed) == (4, 4, 0, 2)
    assert results == []
    events = await told(service)
    assert len(events) == 4
    first = next(event for event in events if event.person.nip == "198001012005011001")
    assert (first.regency, first.person.npsn, first.person.version, first.school_version) == (
        "5202",
        "50203000",
        1,
        1,
    )
    assert first.school.name == "SD NEGERI 1 PRAYA"
    assert first.school.week_days == 6
    assert first.person.active
    trail = await service.administrator.fetch(
        "SELECT actor, people FROM auth.trail WHERE action = 'IMPORT_ROSTER'"
    )
    assert [tuple(entry) for entry in trail] == [("staff:test", 4)]


async def test_the_same_file_twice_changes_nothing(service: Auth) -> None:
    await service.import_rows(everyone())
    before = await snapshot(service)
    summary, _ = await service.import_rows(everyone())
    assert (summary.unchanged, summary.created, summary.updated, summary.schools_changed) == (4, 0, 0, 0)
    assert await snapshot(service) == before


async def test_a_dry_run_judges_exactly_and_changes_nothing(service: Auth) -> None:
    before = await snapshot(service)
    summary, results = await service.import_rows([*everyone(), row(10, "", "X", "50203000")], dry_run=True)
    assert (summary.created, summary.refused, summary.schools_changed, summary.dry_run) == (4, 1, 2, True)
    assert [result.number for result in results] == [10]
    assert await snapshot(service) == before
    assert await service.administrator.fetchval("SELECT count(*) FROM auth.trail") == 0
    await service.import_rows(everyone())
    changed = everyone()
    changed[0].name = "Ahmad Satu, S.Pd."
    summary, _ = await service.import_rows(changed, dry_run=True)
    assert (summary.updated, summary.unchanged) == (1, 3)


async def test_only_who_changed_is_told_with_a_newer_version(service: Auth) -> None:
    await service.import_rows(everyone())
    changed = everyone()
    changed[2].npsn = "50203000"
    summary, _ = await service.import_rows(changed)
    assert (summary.updated, summary.unchanged) == (1, 3)
    events = await told(service)
    assert len(events) == 5
    assert (events[4].person.nip, events[4].person.npsn, events[4].person.version) == (
        "198001012005011003", "50203000", 2,
    )  # fmt: skip


async def test_a_changed_school_tells_its_people_again(service: Auth) -> None:
    await service.import_rows(everyone())
    summary, _ = await service.import_rows([], [school(0, fence_radius_m=250), school(1)])
    assert summary.schools_changed == 1
    events = (await told(service))[4:]
    assert {event.person.nip for event in events} == {"198001012005011001", "198001012005011002"}
    assert {
        (event.school_version, event.person.version, event.school.fence_radius_m) for event in events
    } == {(2, 1, 250)}


async def test_the_second_row_with_a_nip_is_refused_and_names_the_first(service: Auth) -> None:
    rows = everyone()
    summary, results = await service.import_rows([*rows, row(10, rows[0].nip, "Orang Lain", "50203000")])
    assert (summary.accepted, summary.refused) == (4, 1)
    [result] = results
    assert (result.number, result.column, result.reason) == (10, "NIP", "NIP_DUPLICATE")
    assert result.outcome == pb.ROW_OUTCOME_REFUSED
    assert "6" in result.message_id
    assert "6" in result.message_en


async def test_roles_follow_the_roster(service: Auth) -> None:
    await service.import_rows(everyone())
    assert await grants(service) == [
        ("198001012005011002", "head_teacher", "school:50203000"),
        ("198001012005011004", "school_operator", "school:50203001"),
    ]
    changed = everyone()
    changed[1].extra_duty = ""
    changed[3].npsn = "50203000"
    await service.import_rows(changed)
    assert await grants(service) == [("198001012005011004", "school_operator", "school:50203000")]
    # A partial file says nothing about people it does not list.
    await service.import_rows([changed[0]])
    assert await grants(service) == [("198001012005011004", "school_operator", "school:50203000")]


async def test_known_schools_need_not_be_sent_again(service: Auth) -> None:
    await service.import_rows(everyone())
    summary, _ = await service.import_rows([row(6, "198001012005011005", "Eka Lima", "50203001")], [])
    assert summary.created == 1


async def test_a_stream_that_breaks_changes_nothing(service: Auth) -> None:
    before = await snapshot(service)
    sent = asyncio.Event()

    async def requests(last: bool) -> AsyncIterator[pb.ImportRosterRequest]:
        yield pb.ImportRosterRequest(header=pb.ImportHeader(sources=["a"]))
        yield pb.ImportRosterRequest(schools=pb.SchoolBatch(schools=[school(0), school(1)]))
        yield pb.ImportRosterRequest(rows=pb.RowBatch(rows=everyone()))
        sent.set()
        if not last:
            await asyncio.sleep(30)

    for attempt in range(20):
        sent.clear()
        if attempt % 2:
            call = service.roster.ImportRoster(requests(last=False), metadata=service.staff())
            await sent.wait()
            await asyncio.sleep(attempt * 0.003)
            call.cancel()
        else:
            channel = grpc.aio.insecure_channel(service.address)
            stub = type(service.roster)(channel)
            call = stub.ImportRoster(requests(last=False), metadata=service.staff())
            await sent.wait()
            await asyncio.sleep(attempt * 0.003)
            await channel.close()
    await asyncio.sleep(0.3)
    await service.transactions.drain()
    assert await snapshot(service) == before


async def test_sequence_and_place_are_checked(service: Auth) -> None:
    header = pb.ImportRosterRequest(header=pb.ImportHeader(sources=["a"]))
    rows = pb.ImportRosterRequest(rows=pb.RowBatch(rows=everyone()))
    schools = pb.ImportRosterRequest(schools=pb.SchoolBatch(schools=[school(0)]))
    far = pb.ImportRosterRequest(rows=pb.RowBatch(rows=[row(6, "1", "A", "50203000", source=1)]))
    empty = pb.ImportRosterRequest()

    async def send(*parts: pb.ImportRosterRequest) -> None:
        async for _ in service.roster.ImportRoster(iter(parts), metadata=service.staff()):
            pass

    for parts in (
        [rows],
        [schools, header],
        [header, header],
        [header, rows, schools],
        [header, far],
        [header, empty],
        [],
    ):
        assert await refused(send(*parts)) == "IMPORT_SEQUENCE"
    abroad = school(0, district_code="52.03.01")
    assert await refused(service.import_rows([], [abroad])) == "SCHOOL_OUTSIDE_REGENCY"
    assert await refused(service.import_rows([], [school(0), school(0, name="X")])) == "SCHOOL_REPEATED"
    assert await refused(service.import_rows([], [school(0, latitude=91)])) == "INVALID_FIELDS"
    assert await service.administrator.fetchval("SELECT count(*) FROM auth.schools") == 0


async def test_an_import_does_not_wait_for_another(service: Auth) -> None:
    async with service.administrator.transaction():
        await service.administrator.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('hadir-import-5202', 0))"
        )
        assert await refused(service.import_rows(everyone())) == "IMPORT_RUNNING"
    summary, _ = await service.import_rows(everyone())
    assert summary.created == 4


@pytest.mark.timeout(60)
async def test_eleven_thousand_rows_are_quick(service: Auth) -> None:
    rows = [row(6 + n, _nip(n), "Guru Biasa", "5020300" + str(n % 2)) for n in range(11_000)]
    begin = time.monotonic()
    summary, _ = await service.import_rows(rows)
    first = time.monotonic() - begin
    assert summary.created == 11_000
    begin = time.monotonic()
    summary, _ = await service.import_rows(rows)
    second = time.monotonic() - begin
    assert summary.unchanged == 11_000
    assert await service.administrator.fetchval("SELECT count(*) FROM auth.outbox") == 11_000
    print(f"11,000 rows: {first:.2f} s, again {second:.2f} s")  # noqa: T201 - shown by pytest -s
    assert first < 20
    assert second < 20


def _nip(number: int) -> str:
    year, serial = divmod(number, 999)
    return f"{1970 + year}01012005011{serial + 1:03d}"


async def grants(world: Auth) -> list[tuple[str, str, str]]:
    rows = await world.administrator.fetch(
        "SELECT staff_number, role, unit FROM auth.grants JOIN auth.people USING (regency, person_id) "
        "WHERE valid_to IS NULL ORDER BY 1, 2"
    )
    return [tuple(entry) for entry in rows]


async def snapshot(world: Auth) -> list[object]:
    """Everything stored, but for the trail of imports."""
    tables = ("schools", "people", "grants", "outbox", "devices", "activation_codes")
    contents: list[object] = []
    for table in tables:
        everything = await world.administrator.fetch(f"SELECT * FROM auth.{table} ORDER BY 1, 2")  # noqa: S608 - names above
        contents.append([tuple(entry) for entry in everything])
    return contents
