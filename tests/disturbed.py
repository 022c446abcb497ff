"""Backends that a test may stop, kill and hang: not those which the other tests share. Owner: chassis-data."""

import asyncio
import signal
from dataclasses import dataclass, field

import nats
from nats.aio.client import Client
from pydantic import SecretStr
from sqlalchemy.engine import URL

from ops.stack.stack import Stack
from tests.parts import Database, Nats


@dataclass(frozen=True)
class Disturbed:
    """PostgreSQL and NATS ("postgres", "nats"); a fixture starts again what a test leaves stopped."""

    stack: Stack
    down: set[str] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)

    async def stop(self, part: str) -> None:
        """Away until `start`."""
        self.down.add(part)
        await asyncio.to_thread(self.stack.stop_part, part)

    async def start(self, part: str) -> None:
        """Back, and ready."""
        await asyncio.to_thread(self.stack.start_part, part)
        self.down.discard(part)

    async def restart(self, part: str) -> None:
        """Away and back at once."""
        await self.stop(part)
        await self.start(part)

    async def kill(self, part: str) -> None:
        """Killed without warning; the supervisor starts it again."""
        await asyncio.to_thread(self.stack.kill_part, part, signal.SIGKILL)

    async def ready(self, part: str) -> None:
        """Wait until it is back after `kill`."""
        await asyncio.to_thread(self.stack.await_part, part)

    async def hang(self, part: str) -> None:
        """It keeps its sockets and does nothing any more, until `resume`."""
        self.hanging.add(part)
        await asyncio.to_thread(self.stack.kill_part, part, signal.SIGSTOP)

    async def resume(self, part: str) -> None:
        """It goes on after `hang`."""
        await asyncio.to_thread(self.stack.kill_part, part, signal.SIGCONT)
        self.hanging.discard(part)

    async def mend(self) -> None:
        """Everything is there again."""
        for part in list(self.hanging):
            await self.resume(part)
        for part in list(self.down):
            await self.start(part)


@dataclass(frozen=True)
class NatsAccess:
    """What chassis.jetstream.connect asks of settings."""

    nats_url: str
    nats_user: str | None
    nats_password: SecretStr | None


def access(server: Nats, user: str = "operator") -> NatsAccess:
    """As a user: a service's name, "consumer", or "operator", who may do everything."""
    return NatsAccess(server.url, user, SecretStr(server.password(user)))


async def plain_client(server: Nats, user: str = "operator") -> Client:
    """A client without any of our code, to look from outside."""
    return await nats.connect(server.url, user=user, password=server.password(user))


def administrator_url(database: Database) -> str:
    """SQLAlchemy's URL for the superuser."""
    who = database.administrator
    url = URL.create("postgresql+asyncpg", who.user, who.password, who.host, who.port, database.name)
    return url.render_as_string(hide_password=False)
