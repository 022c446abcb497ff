"""Backends of their own for the tests that take them away; a database and an empty NATS for each test."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import create_engine
from chassis.jetstream import STREAM, ConsumerMetrics, NatsConnection, connect
from chassis.jetstream.stream import ensure_stream, stream_config
from chassis.migrations import upgrade
from ops.database import SERVICES, Administrator, bootstrap, owner_role, runtime_role
from ops.stack.layout import kept_password
from ops.stack.stack import StackOptions, running_stack
from tests.disturbed import Disturbed, access, plain_client
from tests.parts import Database, Nats


@pytest.fixture(scope="package")
def disturbed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    options = StackOptions(directory=tmp_path_factory.mktemp("disturbed"), parts=("postgres", "nats"))
    with running_stack(options) as stack:
        yield Disturbed(stack)


@pytest.fixture
async def backends(disturbed_stack: Disturbed) -> AsyncIterator[Disturbed]:
    yield disturbed_stack
    await disturbed_stack.mend()


@pytest.fixture
async def database(backends: Disturbed) -> Database:
    stack = backends.stack
    target = stack.target.database
    assert target is not None
    administrator = Administrator(
        host=target.host,
        port=target.port,
        user=target.administrator,
        password=await asyncio.to_thread(kept_password, stack.layout, "postgres"),
    )
    roles = [role(service) for service in SERVICES for role in (owner_role, runtime_role)]
    name = f"test_{secrets.token_hex(4)}"
    passwords = {role: kept_password(stack.layout, role) for role in roles}
    await bootstrap(administrator, passwords, database=name)
    return Database(stack=stack, administrator=administrator, name=name)


@pytest.fixture
async def nats(backends: Disturbed) -> Nats:
    target = backends.stack.target.nats
    assert target is not None
    server = Nats(stack=backends.stack, url=target.url)
    client = await plain_client(server)
    try:
        await client.jetstream().delete_stream(STREAM)
    except NotFoundError:
        pass
    finally:
        await client.close()
    return server


@pytest.fixture
async def migrated(database: Database, tmp_path: Path) -> Database:
    """With the chassis' own tables in the schema "checkin", made by a migration as the owner."""
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_chassis.py").write_text(
        "from alembic import op\n"
        "from chassis.migrations import create_outbox, create_poison, grant\n"
        "revision, down_revision = '0001', None\n"
        "def upgrade():\n"
        "    create_outbox(op, 'checkin')\n"
        "    create_poison(op, 'checkin')\n"
        "    op.execute('CREATE TABLE checkin.things (id text PRIMARY KEY, name text NOT NULL,'\n"
        "               ' version bigint NOT NULL, applied integer NOT NULL DEFAULT 1)')\n"
        "    grant(op, 'checkin', 'things')\n"
        "    op.execute('CREATE TABLE checkin.auth_keys (regency text NOT NULL, kid text NOT NULL,'\n"
        "               ' jwk jsonb NOT NULL, kept_at timestamptz NOT NULL, PRIMARY KEY (regency, kid))')\n"
        "    grant(op, 'checkin', 'auth_keys')\n"
    )
    await upgrade(
        database.owner_url("checkin"),
        schema="checkin",
        script_location=versions.parent,
        runtime_role=runtime_role("checkin"),
    )
    return database


@pytest.fixture
async def engine(migrated: Database) -> AsyncIterator[AsyncEngine]:
    """As the runtime role, with the few rights it has."""
    engine = create_engine(migrated.runtime_url("checkin"), pool_size=6, application_name="hadir-test")
    yield engine
    await engine.dispose()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def connection(nats: Nats) -> AsyncIterator[NatsConnection]:
    """As the service "checkin", with its rights at NATS."""
    connection = await connect(access(nats, "checkin"), name="test", registry=CollectorRegistry())
    yield connection
    await connection.stop()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ConsumerMetrics:
    return ConsumerMetrics(registry)


@pytest.fixture
async def outside(nats: Nats) -> AsyncIterator[Client]:
    client = await plain_client(nats)
    await ensure_stream(client.jetstream(), stream_config())
    yield client
    await client.close()
