"""auth on real PostgreSQL: the service in this process, over a real channel, with a clock that a test can move."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.database import create_engine
from chassis.migrations import migrate
from hadir.auth.v1 import auth_service_pb2_grpc, roster_service_pb2_grpc
from services.auth.adapters.session_store import PostgresSessionStore
from services.auth.adapters.tokens import load_signing_keys
from services.auth.adapters.transactions import Transactions
from services.auth.bootstrap import build_server
from services.auth.config import AuthSettings
from tests.integration.auth.world import REGENCY, Auth, MovableClock, everyone
from tests.parts import Database

MIGRATIONS = Path(__file__).resolve().parents[3] / "services" / "auth" / "migrations"


@pytest.fixture(scope="module")
def migrated(database: Database) -> Database:
    migrate(database.owner_url("auth"), schema="auth", script_location=MIGRATIONS, runtime_role="hadir_auth")
    return database


@pytest.fixture(scope="session")
def signing_pem() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )


@pytest.fixture
def settings(migrated: Database, signing_pem: str) -> AuthSettings:
    return AuthSettings(
        environment="development",
        regency=REGENCY,
        database_url=SecretStr(migrated.runtime_url("auth")),
        nats_url="nats://127.0.0.1:1",
        auth_signing_key=SecretStr(signing_pem),
        drain_wait_seconds=0,
        grace_seconds=1,
        watch_poll_seconds=0.05,
        watch_heartbeat_seconds=0.5,
        most_watchers=4,
    )


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def service(migrated: Database, settings: AuthSettings, clock: MovableClock) -> AsyncIterator[Auth]:
    """The service on an empty schema."""
    administrator = await migrated.connect()
    await administrator.execute(
        "TRUNCATE auth.schools, auth.people, auth.devices, auth.activation_codes, auth.challenges, auth.grants, "
        "auth.trail, auth.outbox"
    )
    keys = load_signing_keys(settings.auth_signing_key.get_secret_value(), None)
    engine = create_engine(
        settings.database_url.get_secret_value(), pool_size=8, application_name="test-auth"
    )
    transactions = Transactions(
        engine=engine,
        concurrent=6,
        most_waiting=settings.most_waiting,
        come_back=lambda: timedelta(seconds=1),
        committed=lambda: None,
    )
    registry = CollectorRegistry()
    server = build_server(
        settings=settings,
        clock=clock,
        registry=registry,
        keys=keys,
        transactions=transactions,
        sessions=PostgresSessionStore(transactions=transactions, regency=REGENCY),
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        yield Auth(
            keys=keys,
            clock=clock,
            auth=auth_service_pb2_grpc.AuthServiceStub(channel),
            roster=roster_service_pb2_grpc.RosterServiceStub(channel),
            administrator=administrator,
            engine=engine,
            transactions=transactions,
            registry=registry,
            address=server.addresses[0],
        )
    await server.stop()
    await transactions.drain()
    await engine.dispose()
    await administrator.close()


@pytest.fixture
async def peopled(service: Auth) -> Auth:
    """The service with two schools and four people."""
    await service.import_rows(everyone())
    return service
