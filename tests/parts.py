"""The real parts for tests: PostgreSQL, NATS, Envoy, started by the very code that starts them for `make run`.

Owner: stack. A conftest takes the fixtures it wants by importing them. Fixtures are synchronous on purpose: a part
dies with the thread that started it, and pytest's main thread lives longest.
"""

import asyncio
import itertools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from ops.database import Administrator, bootstrap, owner_role, runtime_role
from ops.stack.layout import kept_password
from ops.stack.nats import user_password
from ops.stack.stack import Stack, StackOptions, running_stack

_DATABASE_NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database of a test's own, with the three schemas, and no tables yet."""

    stack: Stack
    administrator: Administrator
    name: str

    def url(self, role: str) -> str:
        """SQLAlchemy's URL (asyncpg) of a role."""
        password = kept_password(self.stack.layout, role)
        where = f"{self.administrator.host}:{self.administrator.port}"
        return f"postgresql+asyncpg://{role}:{password}@{where}/{self.name}"

    def owner_url(self, service: str) -> str:
        """Who migrates the service's schema."""
        return self.url(owner_role(service))

    def runtime_url(self, service: str) -> str:
        """Whom the service connects as."""
        return self.url(runtime_role(service))

    @property
    def administrator_url(self) -> str:
        """SQLAlchemy's URL (asyncpg) of a superuser, for what a service must not do itself."""
        who = self.administrator
        return f"postgresql+asyncpg://{who.user}:{who.password}@{who.host}:{who.port}/{self.name}"

    async def connect(self, role: str | None = None) -> asyncpg.Connection:
        """A plain connection: as the administrator, or as a role."""
        if role is None:
            return await self.administrator.connect(self.name)
        url = self.url(role).replace("postgresql+asyncpg", "postgresql")
        connection: asyncpg.Connection = await asyncpg.connect(url)
        return connection


@dataclass(frozen=True, kw_only=True)
class Nats:
    """The stack's NATS."""

    stack: Stack
    url: str

    def password(self, user: str) -> str:
        """Of "auth", "checkin", "reporting", "consumer" or "operator"."""
        return user_password(self.stack.layout, user)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The session's backends, to be taken away and given back within a test; every test leaves them ready."""

    stack: Stack

    async def stop(self, name: str) -> None:
        """In order; it stays away."""
        await asyncio.to_thread(self.stack.stop_part, name)

    async def start(self, name: str) -> None:
        """Back again, and ready."""
        await asyncio.to_thread(self.stack.start_part, name)

    async def restart(self, name: str) -> None:
        """Away and back."""
        await self.stop(name)
        await self.start(name)

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """A signal; after SIGKILL the supervisor starts it again by itself."""
        await asyncio.to_thread(self.stack.kill_part, name, number)

    async def ready(self, name: str) -> None:
        """Waits until it is."""
        await asyncio.to_thread(self.stack.await_part, name)


MakeDatabase = Callable[[], Database]


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL and NATS, once for all tests; a test that stops a part starts it again."""
    options = StackOptions(directory=tmp_path_factory.mktemp("backends"), parts=("postgres", "nats"))
    with running_stack(options) as stack:
        yield stack


@pytest.fixture(scope="session")
def parts(backends: Stack) -> Parts:
    """The backends, to stop and start."""
    return Parts(stack=backends)


@pytest.fixture(scope="session")
def make_database(backends: Stack) -> MakeDatabase:
    """Makes a database that nobody else uses; cheap (50 ms), so that each module has its own."""
    target = backends.target.database
    assert target is not None
    administrator = Administrator(
        host=target.host,
        port=target.port,
        user=target.administrator,
        password=kept_password(backends.layout, "postgres"),
    )
    roles = [
        role(service) for service in ("auth", "checkin", "reporting") for role in (owner_role, runtime_role)
    ]
    passwords = {role: kept_password(backends.layout, role) for role in roles}

    def make() -> Database:
        name = f"hadir_test_{next(_DATABASE_NUMBERS)}"
        asyncio.run(bootstrap(administrator, passwords, database=name))
        return Database(stack=backends, administrator=administrator, name=name)

    return make


@pytest.fixture(scope="module")
def database(make_database: MakeDatabase) -> Database:
    """A database of the module's own."""
    return make_database()


@pytest.fixture(scope="session")
def nats(backends: Stack) -> Nats:
    """NATS, shared by all tests: a test that counts messages uses a regency of its own."""
    target = backends.target.nats
    assert target is not None
    return Nats(stack=backends, url=target.url)
