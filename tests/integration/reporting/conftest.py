"""reporting on real PostgreSQL and NATS; auth is away in all of these tests, its keys are those kept before."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import nats as nats_py
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import create_engine
from chassis.lifecycle import Application
from chassis.migrations import upgrade
from chassis.tokens import signing_jwk
from services.reporting.bootstrap import start
from services.reporting.config import ReportingSettings
from tests.integration.reporting.world import Reporting, Stream, WorldClock, local, new_regency
from tests.parts import Database, Nats

MIGRATIONS = Path(__file__).resolve().parents[3] / "services" / "reporting" / "migrations"


@pytest.fixture(scope="module")
async def migrated(database: Database) -> Database:
    await upgrade(
        database.owner_url("reporting"),
        schema="reporting",
        script_location=MIGRATIONS,
        runtime_role="hadir_reporting",
    )
    return database


@pytest.fixture(scope="module")
async def engine(migrated: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(migrated.runtime_url("reporting"), pool_size=6, application_name="test-reporting")
    yield engine
    await engine.dispose()


@pytest.fixture
async def stream(nats: Nats) -> AsyncIterator[Stream]:
    client = await nats_py.connect(nats.url, user="operator", password=nats.password("operator"))
    yield Stream(client)
    await client.drain()


@pytest.fixture
def settings(migrated: Database, nats: Nats) -> ReportingSettings:
    return ReportingSettings(
        environment="development",
        regency=new_regency(),
        database_url=SecretStr(migrated.runtime_url("reporting")),
        nats_url=nats.url,
        nats_user="reporting",
        nats_password=SecretStr(nats.password("reporting")),
        auth_target="127.0.0.1:1",
        drain_wait_seconds=0,
        grace_seconds=1,
        sweep_seconds=0.2,
        most_watchers=3,
    )


@pytest.fixture
async def service(
    migrated: Database, settings: ReportingSettings, registry: CollectorRegistry
) -> AsyncIterator[Reporting]:
    """The whole service in this process, at a quarter past seven on a Monday."""
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = signing_jwk(key.public_key())
    connection = await migrated.connect()
    await connection.execute(
        "INSERT INTO reporting.auth_keys VALUES ($1, $2, $3, now())",
        settings.regency,
        jwk["kid"],
        json.dumps(jwk),
    )
    await connection.close()
    clock = WorldClock(local("07:15:00"))
    async with Application(registry=registry) as application:
        server = await start(application, settings, clock=clock, registry=registry)
        async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
            yield Reporting(settings.regency, clock, server.addresses[0], channel, key)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()
