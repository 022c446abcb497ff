"""Backends of their own for the tests that take them away; a database and an empty NATS for each test."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from nats.js.errors import NotFoundError

from chassis.jetstream import STREAM
from ops.database import SERVICES, Administrator, bootstrap, owner_role, runtime_role
from ops.stack.layout import kept_password
from ops.stack.stack import StackOptions, running_stack
from tests.disturbed import Disturbed, plain_client
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
