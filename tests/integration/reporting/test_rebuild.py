"""Rebuild and auth's keys, against peers that speak the real protocol: auth's and checkin's stubs on a real channel."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.lifecycle import Application
from chassis.tokens import signing_jwk
from chassis.wire import timestamp
from hadir.auth.v1 import (
    auth_service_pb2,
    auth_service_pb2_grpc,
    people_pb2,
    roster_service_pb2,
    roster_service_pb2_grpc,
)
from hadir.checkin.v1 import checkin_service_pb2, checkin_service_pb2_grpc, tap_pb2
from hadir.events.v1 import events_pb2
from hadir.reporting.v1 import reporting_service_pb2 as pb
from services.reporting.adapters.revocations import Revocations
from services.reporting.application.rebuild import Rebuilt
from services.reporting.bootstrap import RebuildNotPossibleError, run_rebuild, start
from services.reporting.config import ReportingSettings
from tests.integration.reporting.test_read_model import apply, outbox, story
from tests.integration.reporting.world import Reporting, WorldClock, dump, local, person, refused, tap
from tests.outboxes import until
from tests.parts import Database


class Roster(roster_service_pb2_grpc.RosterServiceServicer):
    """auth's roster, in pages of four."""

    def __init__(self, people: list[events_pb2.PersonChanged]) -> None:
        self.people = people
        self.tokens: set[str] = set()

    async def ListPeople(self, request: roster_service_pb2.ListPeopleRequest, context: Any) -> Any:
        self.tokens.add(dict(context.invocation_metadata())["authorization"])
        begin = int(request.page_token or 0)
        page = self.people[begin : begin + 4]
        schools = {changed.school.npsn: changed.school for changed in page}
        more = begin + 4 < len(self.people)
        return roster_service_pb2.ListPeopleResponse(
            people=[changed.person for changed in page],
            schools=schools.values(),
            next_page_token=str(begin + 4) if more else "",
        )

    async def WatchDevices(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """One device in use and a revoked one, and then nothing happens any more."""
        devices = [
            people_pb2.Device(device_id=str(uuid4()), status=people_pb2.DEVICE_STATUS_ACTIVE),
            people_pb2.Device(
                device_id=REVOKED, status=people_pb2.DEVICE_STATUS_REVOKED, revoked_at=timestamp(_NOW)
            ),
        ]
        for device in devices:
            yield roster_service_pb2.WatchDevicesResponse(devices=[device])
        yield roster_service_pb2.WatchDevicesResponse(caught_up=True)
        await asyncio.Event().wait()


REVOKED = "0b0d1f5e-0000-4000-8000-000000000001"
_NOW = datetime.now(UTC)


class Taps(checkin_service_pb2_grpc.CheckinServiceServicer):
    """checkin's taps, in batches of three; the stream breaks once."""

    def __init__(self, taps: list[events_pb2.TapAccepted]) -> None:
        self.taps = sorted(taps, key=lambda accepted: accepted.tap.tap_id)
        self.breaks = 1

    async def ListTaps(
        self, request: checkin_service_pb2.ListTapsRequest, context: Any
    ) -> AsyncIterator[Any]:
        wanted = [
            accepted
            for accepted in self.taps
            if accepted.tap.tap_id > request.after_tap_id
            and (not request.from_work_date or accepted.tap.work_date >= request.from_work_date)
            and (not request.to_work_date or accepted.tap.work_date <= request.to_work_date)
        ]
        for begin in range(0, len(wanted), 3):
            if begin == 3 and self.breaks:
                self.breaks -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone for a moment")
            yield checkin_service_pb2.ListTapsResponse(
                taps=[
                    checkin_service_pb2.StoredTap(
                        receipt=tap_pb2.Receipt(content=accepted.tap.SerializeToString()),
                        device_id=accepted.device_id,
                        npsn=accepted.npsn,
                    )
                    for accepted in wanted[begin : begin + 3]
                ]
            )


class Auth(auth_service_pb2_grpc.AuthServiceServicer):
    """auth's public keys."""

    def __init__(self) -> None:
        self.keys: list[ec.EllipticCurvePrivateKey] = []

    async def GetJwks(self, request: Any, context: Any) -> auth_service_pb2.GetJwksResponse:
        return auth_service_pb2.GetJwksResponse(
            keys=[auth_service_pb2.JsonWebKey(**signing_jwk(key.public_key())) for key in self.keys]
        )


def made(kind: Any, *arguments: Any) -> Any:
    """A peer that leaves out what is not asked of it; the generated base class would have all of it."""
    return kind(*arguments)


_ADD: tuple[tuple[type, Any], ...] = (
    (Roster, roster_service_pb2_grpc.add_RosterServiceServicer_to_server),
    (Taps, checkin_service_pb2_grpc.add_CheckinServiceServicer_to_server),
    (Auth, auth_service_pb2_grpc.add_AuthServiceServicer_to_server),
)


@asynccontextmanager
async def serving(*servicers: Any) -> AsyncIterator[str]:
    server = grpc.aio.server()
    for servicer in servicers:
        next(add for kind, add in _ADD if isinstance(servicer, kind))(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def told(regency: str) -> tuple[list[events_pb2.PersonChanged], list[events_pb2.TapAccepted]]:
    """The newest people and all taps of the story that the consumers are tested with."""
    people: dict[str, events_pb2.PersonChanged] = {}
    taps = []
    for message in story(regency):
        if isinstance(message, events_pb2.TapAccepted):
            taps.append(message)
        elif isinstance(message, events_pb2.PersonChanged):
            known = people.get(message.person.person_id)
            if known is None or known.person.version < message.person.version:
                people[message.person.person_id] = message
    return sorted(people.values(), key=lambda changed: changed.person.person_id), taps


async def test_a_rebuild_makes_the_read_model_that_events_make(
    engine: AsyncEngine, settings: ReportingSettings, tmp_path: Path
) -> None:
    events, rebuilt = "7990", settings.regency
    await apply(engine, events, story(events))
    people, taps = told(rebuilt)
    # The roster knows a school once, as it is now.
    newest = {changed.school.npsn: changed.school for changed in people}
    newest["50203001"].week_days = 6
    for changed in people:
        changed.school.CopyFrom(newest[changed.school.npsn])
    token = tmp_path / "token"
    token.write_text("service-token\n")
    roster = made(Roster, people)
    async with serving(roster, made(Taps, taps)) as address:
        chosen = settings.model_copy(
            update={"auth_target": address, "checkin_target": address, "service_token_file": token}
        )

        async def again(**bounds: date) -> Rebuilt:
            limits: dict[str, date | None] = {"first": None, "last": None, "roster_since": date(2026, 7, 24)}
            return await run_rebuild(chosen, **(limits | bounds))

        done = await again()
        assert (done.people, done.taps, done.new_taps) == (len(people), len(taps), len(taps) - 1)
        assert done.revoked == 1
        revocations = Revocations(engine, regency=rebuilt, now=lambda: _NOW)
        assert await revocations.look()
        assert revocations.revoked(REVOKED)
        assert roster.tokens == {"Bearer service-token"}
        first, second = await dump(engine, events), await dump(engine, rebuilt)
        for table in ("taps", "days"):
            assert len(second[table]) == len(first[table])
        assert counted(second) == counted(first)
        announced = await outbox(engine, rebuilt)
        repeated = await again()
        assert repeated.new_taps == 0
        assert await outbox(engine, rebuilt) == announced
        assert await dump(engine, rebuilt) == second
        assert (await again(first=date(2026, 8, 8), last=date(2026, 8, 9))).taps == 2


async def test_a_rebuild_mends_what_was_missed_and_undoes_nothing_newer(
    engine: AsyncEngine, settings: ReportingSettings, tmp_path: Path
) -> None:
    regency = settings.regency
    await apply(
        engine, regency, [person(regency, 1, version=7, name="SD Baru", school_version=4), tap(regency, 1)]
    )
    token = tmp_path / "token"
    token.write_text("t")
    older = person(regency, 1, version=6, name="SD Berganti Nama")
    renamed = made(Roster, [older, person(regency, 2, name="SD Berganti Nama")])
    async with serving(renamed, made(Taps, [tap(regency, 2)])) as address:
        chosen = settings.model_copy(
            update={"auth_target": address, "checkin_target": address, "service_token_file": token}
        )
        await run_rebuild(chosen, first=None, last=None, roster_since=None)
    found = await dump(engine, regency)
    assert sorted(row["version"] for row in found["people"]) == [1, 7]
    # The roster is the truth for a school whose events did not come meanwhile; its version stays.
    assert [(row["name"], row["version"]) for row in found["schools"]] == [("SD Berganti Nama", 4)]
    assert [row["status_code"] for row in found["days"]] == ["H", "H"]


async def test_a_rebuild_without_its_settings_says_what_is_missing(settings: ReportingSettings) -> None:
    with pytest.raises(RebuildNotPossibleError, match="HADIR_CHECKIN_TARGET"):
        await run_rebuild(settings, first=None, last=None, roster_since=None)


async def test_keys_come_from_auth_are_kept_and_a_new_one_is_asked_for(
    settings: ReportingSettings, migrated: Database
) -> None:
    auth = made(Auth)
    clock = WorldClock(local("07:15:00"))
    auth.keys = [ec.generate_private_key(ec.SECP256R1())]
    async with serving(auth) as address:
        chosen = settings.model_copy(update={"auth_target": address})
        registry = CollectorRegistry()
        async with Application(registry=registry) as application:
            server = await start(application, chosen, clock=clock, registry=registry)
            async with grpc.aio.insecure_channel(server.addresses[0]) as channel:

                def by(key: ec.EllipticCurvePrivateKey) -> Reporting:
                    return Reporting(settings.regency, clock, server.addresses[0], channel, key)

                async def admitted(caller: Reporting) -> bool:
                    try:
                        await caller.stub.GetBoard(pb.GetBoardRequest(), **caller.staff())
                    except grpc.aio.AioRpcError:
                        return False
                    return True

                await until(lambda: admitted(by(auth.keys[0])))
                stranger = by(ec.generate_private_key(ec.SECP256R1()))
                assert await refused(stranger.stub.GetBoard(pb.GetBoardRequest(), **stranger.staff())) == (
                    grpc.StatusCode.UNAUTHENTICATED,
                    "TOKEN_INVALID",
                )
    connection = await migrated.connect()
    kept = await connection.fetch("SELECT jwk FROM reporting.auth_keys WHERE regency = $1", settings.regency)
    await connection.close()
    assert [json.loads(row["jwk"]) for row in kept] == [signing_jwk(auth.keys[0].public_key())]


def counted(found: dict[str, list[dict[str, Any]]]) -> list[tuple[str, ...]]:
    """Which tap counts where; what time alone decides differs, as a rebuild runs at the machine's own time."""
    keys = ("work_date", "npsn", "in_official_time", "in_minutes", "out_official_time", "out_minutes")
    return sorted(tuple(str(day[key]) for key in keys) for day in found["days"])
