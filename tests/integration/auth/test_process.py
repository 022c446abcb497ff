"""auth as a process: its commands, its health, its events on NATS, and the database going away."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import nats as nats_client
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.js.api import DeliverPolicy

from chassis.clock import SystemClock
from chassis.keys import KeySet
from chassis.tokens import TokenVerifier
from hadir.auth.v1 import auth_service_pb2 as pb
from hadir.auth.v1 import auth_service_pb2_grpc, roster_service_pb2_grpc
from hadir.auth.v1 import roster_service_pb2 as roster_pb
from hadir.events.v1 import events_pb2
from tests.integration.auth.world import everyone, reason, school
from tests.parts import Database, Nats, Parts

REPOSITORY = Path(__file__).resolve().parents[3]
REGENCY = "9471"
"""Of its own, since NATS is shared with other tests."""


@pytest.fixture(scope="module")
def environment(
    database: Database, nats: Nats, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("auth")
    for name in ("signing", "old"):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / name).mkdir()
        (folder / name / "key.pem").write_bytes(pem)
    password = folder / "nats.password"
    password.write_text(nats.password("auth"))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen'}",
        "HADIR_REGENCY": REGENCY,
        "HADIR_DATABASE_URL": database.runtime_url("auth"),
        "HADIR_MIGRATE_DATABASE_URL": database.owner_url("auth"),
        "HADIR_NATS_URL": nats.url,
        "HADIR_NATS_USER": "auth",
        "HADIR_NATS_PASSWORD_FILE": str(password),
        "HADIR_AUTH_SIGNING_KEY_FILE": str(folder / "signing" / "key.pem"),
        "HADIR_AUTH_RETIRED_KEYS_DIR": str(folder / "old"),
        "HADIR_GRPC_LISTEN": f"unix:{folder}/auth.sock",
        "HADIR_DRAIN_WAIT_SECONDS": "0",
        "HADIR_WATCH_POLL_SECONDS": "0.05",
    }


def command(
    environment: Mapping[str, str], *arguments: str, **changes: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.auth", *arguments],
        env={**environment, **changes}, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture(scope="module")
def running(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The served process; its log."""
    for _ in range(2):  # a second migration changes nothing
        migrated = command(environment, "migrate")
        assert migrated.returncode == 0, migrated.stderr
    log = tmp_path_factory.mktemp("log") / "auth.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.auth", "serve"], env=environment, cwd=REPOSITORY, stderr=stream
        )
    yield log
    process.terminate()
    assert process.wait(20) == 0, log.read_text()


@pytest.fixture
async def channel(running: Path, environment: Mapping[str, str]) -> Any:
    async with grpc.aio.insecure_channel(environment["HADIR_GRPC_LISTEN"]) as channel:
        async with asyncio.timeout(30):
            await channel.channel_ready()
        yield channel


def staff(environment: Mapping[str, str]) -> tuple[tuple[str, str]]:
    minted = command(
        environment,
        "mint-token",
        "--role",
        "personnel_agency",
        "--unit",
        f"regency:{REGENCY}",
        "--ttl",
        "12h",
    )
    assert minted.returncode == 0, minted.stderr
    assert minted.stderr == ""
    return (("authorization", f"Bearer {minted.stdout.strip()}"),)


async def test_people_and_devices_reach_nats(
    channel: grpc.aio.Channel, environment: Mapping[str, str], nats: Nats, running: Path
) -> None:
    metadata = staff(environment)
    roster = roster_service_pb2_grpc.RosterServiceStub(channel)
    schools = [school(0, district_code="94.71.01"), school(1, district_code="94.71.02")]
    parts = [
        roster_pb.ImportRosterRequest(header=roster_pb.ImportHeader(sources=["a"])),
        roster_pb.ImportRosterRequest(schools=roster_pb.SchoolBatch(schools=schools)),
        roster_pb.ImportRosterRequest(rows=roster_pb.RowBatch(rows=everyone())),
    ]
    answers = [answer async for answer in roster.ImportRoster(iter(parts), metadata=metadata)]
    assert answers[-1].summary.created == 4
    issued = await roster.IssueActivationCodes(
        roster_pb.IssueActivationCodesRequest(npsn="50203000"), metadata=metadata
    )
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    code = issued.codes[0]
    enrolled = await auth_service_pb2_grpc.AuthServiceStub(channel).Enroll(
        pb.EnrollRequest(
            activation_code=code.code,
            nip=code.nip,
            public_key=key.public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            ),
        )
    )
    client = await nats_client.connect(nats.url, user="operator", password=nats.password("operator"))
    try:
        subscription = await client.jetstream().subscribe(
            f"hadir.v1.{REGENCY}.auth.>", ordered_consumer=True, deliver_policy=DeliverPolicy.ALL
        )
        messages = [await subscription.next_msg(timeout=10) for _ in range(5)]
    finally:
        await client.close()
    people = [message for message in messages if message.subject.endswith(".person_changed")]
    [bound] = [message for message in messages if message.subject.endswith(".device_changed")]
    assert {events_pb2.PersonChanged.FromString(message.data).person.nip for message in people} == {
        row.nip for row in everyone()
    }
    assert events_pb2.DeviceChanged.FromString(bound.data).device.device_id == enrolled.device_id
    assert bound.headers is not None
    assert bound.headers["ce-type"] == "hadir.events.v1.DeviceChanged"
    assert bound.headers["ce-source"] == f"/hadir/{REGENCY}/auth"
    text = await asyncio.to_thread(running.read_text)
    assert not [row for row in everyone() if row.nip in text or row.name in text]
    assert all(json.loads(line)["service"] == "auth" for line in text.splitlines())


async def test_jwks_tells_the_signing_key_first_and_the_retired_after(
    channel: grpc.aio.Channel, environment: Mapping[str, str]
) -> None:
    answer = await auth_service_pb2_grpc.AuthServiceStub(channel).GetJwks(pb.GetJwksRequest())
    printed = json.loads(command(environment, "jwks").stdout)["keys"]
    assert [key.kid for key in answer.keys] == [key["kid"] for key in printed]
    assert len(printed) == 2
    verifier = TokenVerifier(keyset=KeySet([printed[0]]), regency=REGENCY, clock=SystemClock())
    [(_, bearer)] = staff(environment)
    who = verifier.verify_bearer(bearer.removeprefix("Bearer "))
    assert (who.subject, who.unit) == ("staff:console", f"regency:{REGENCY}")
    old = environment["HADIR_AUTH_RETIRED_KEYS_DIR"] + "/key.pem"
    minted = command(environment, "mint-token", "--service", "checkin", HADIR_AUTH_SIGNING_KEY_FILE=old)
    verifier = TokenVerifier(keyset=KeySet(printed), regency=REGENCY, clock=SystemClock())
    assert verifier.verify_bearer(minted.stdout.strip()).subject == "service:checkin"


async def test_health_speaks_of_both_services(channel: grpc.aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", "hadir.auth.v1.AuthService", "hadir.auth.v1.RosterService", "database", "nats"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, name


async def test_without_the_database_it_answers_in_order_and_recovers(
    channel: grpc.aio.Channel, environment: Mapping[str, str], parts: Parts
) -> None:
    stub = auth_service_pb2_grpc.AuthServiceStub(channel)
    health: Any = health_pb2_grpc.HealthStub(channel)
    minted = command(environment, "mint-token", "--service", "checkin")
    service = (("authorization", f"Bearer {minted.stdout.strip()}"),)
    roster = roster_service_pb2_grpc.RosterServiceStub(channel)
    watch = roster.WatchDevices(roster_pb.WatchDevicesRequest(), metadata=service)
    stream = aiter(watch)
    batch = await anext(stream)
    while not batch.resume_token:
        batch = await anext(stream)
    request = pb.CreateChallengeRequest(device_id="01890000-0000-7000-8000-000000000000")
    await parts.stop("postgres")
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateChallenge(request)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason(caught.value) == "DATABASE_UNAVAILABLE"
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await _read_on(stream)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        ready = await health.Check(health_pb2.HealthCheckRequest(service=""))
        assert ready.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await parts.start("postgres")
    await stub.CreateChallenge(request)
    resumed = await anext(
        aiter(
            roster.WatchDevices(
                roster_pb.WatchDevicesRequest(resume_token=batch.resume_token), metadata=service
            )
        )
    )
    assert not resumed.full_snapshot


async def _read_on(stream: AsyncIterator[object]) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mint-token", "--role", "service", "--unit", "regency:9471"), "--role is one of"),
        (("mint-token", "--role", "king", "--unit", "regency:9471"), "--role is one of"),
        (("mint-token", "--role", "auditor"), "--unit is"),
        (("mint-token", "--role", "auditor", "--unit", "regency:5202"), "serves 9471"),
        (("mint-token", "--role", "auditor", "--unit", "regency:9471", "--ttl", "25h"), "at most 24h"),
        (("mint-token", "--role", "auditor", "--unit", "regency:9471", "--ttl", "soon"), "--ttl is"),
        (("mint-token", "--service", "checkin", "--unit", "regency:9471"), "no --unit"),
        (("mint-token", "--service", "X Y"), "--service is"),
        (("mint-token", "--service", "checkin", "--ttl", "999d"), "at most 400d"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    environment: Mapping[str, str], arguments: tuple[str, ...], words: str
) -> None:
    done = command(environment, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"HADIR_REGENCY": "52.02"}, "HADIR_REGENCY"),
        ({"HADIR_PEAK_WINDOWS": "8-6"}, "HADIR_PEAK_WINDOWS"),
        ({"HADIR_AUTH_SIGNING_KEY_FILE": "/nowhere"}, "HADIR_AUTH_SIGNING_KEY_FILE"),
        ({"HADIR_AUTH_SIGNING_KEY_FILE": "", "HADIR_AUTH_SIGNING_KEY": "no key"}, "signing key"),
        ({"HADIR_AUTH_RETIRED_KEYS_DIR": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_wrong_setting_is_told_before_a_port_is_bound(
    environment: Mapping[str, str], changes: dict[str, str], words: str
) -> None:
    socket = Path(environment["HADIR_GRPC_LISTEN"].removeprefix("unix:")).with_name("never.sock")
    done = command(environment, "serve", HADIR_GRPC_LISTEN=f"unix:{socket}", **changes)
    assert done.returncode == 2
    assert words in done.stderr
    assert not socket.exists()
