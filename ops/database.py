"""One database, and in it for each service a schema with two roles: its owner migrates, its runtime role works.

Owner: stack. Runs against the stack's own PostgreSQL and, with an administrator's URL, against an existing one.
No service can read another's schema: the design's rule is enforced by the server, not by manners.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

DATABASE = "hadir"
SERVICES = ("auth", "checkin", "reporting")

# Somebody else's bootstrap of the same server was faster.
_MADE_BY_ANOTHER = (
    asyncpg.DuplicateDatabaseError,
    asyncpg.DuplicateObjectError,
    asyncpg.UniqueViolationError,
)


def owner_role(service: str) -> str:
    """The role that owns the service's schema and runs its migrations."""
    return f"hadir_{service}_owner"


def runtime_role(service: str) -> str:
    """The role the service itself connects as; may change rows in its own schema, where a migration grants it."""
    return f"hadir_{service}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Administrator:
    """A role that may create roles and databases.

    Attributes:
        host, port, user, password: how to connect.
        database: an existing database to connect to first.
    """

    host: str
    port: int
    user: str
    password: str
    database: str = "postgres"

    async def connect(self, database: str | None = None) -> asyncpg.Connection:
        """A connection to `database`, or to the one that exists already."""
        connection: asyncpg.Connection = await asyncpg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=database or self.database,
            timeout=5,
        )
        return connection


async def bootstrap(
    administrator: Administrator, passwords: Mapping[str, str], *, database: str = DATABASE
) -> None:
    """Makes roles, database and schemas. Repeating it changes nothing but the passwords, which it sets anew.

    Args:
        administrator: who does it.
        passwords: of each role (`owner_role`, `runtime_role` of every service).
        database: the name of the database to make; another than the default keeps two systems apart on one server.

    Raises:
        asyncpg.PostgresError: the administrator may not do it; OSError: the server is not there.
    """
    connection = await administrator.connect()
    try:
        for service in SERVICES:
            for role in (owner_role(service), runtime_role(service)):
                await _ensure_role(connection, role, passwords[role])
        await _ensure_database(connection, database)
    finally:
        await connection.close()
    connection = await administrator.connect(database)
    try:
        await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for service in SERVICES:
            await _ensure_schema(connection, service)
    finally:
        await connection.close()


async def _ensure_role(connection: asyncpg.Connection, role: str, password: str) -> None:
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        with suppress(*_MADE_BY_ANOTHER):
            await connection.execute(await _quoted(connection, "CREATE ROLE %I LOGIN", role))
    await connection.execute(await _quoted(connection, "ALTER ROLE %I LOGIN PASSWORD %L", role, password))


async def _ensure_database(connection: asyncpg.Connection, database: str) -> None:
    if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
        with suppress(*_MADE_BY_ANOTHER):
            await connection.execute(await _quoted(connection, "CREATE DATABASE %I", database))
    await connection.execute(await _quoted(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", database))
    for service in SERVICES:
        for role in (owner_role(service), runtime_role(service)):
            await connection.execute(
                await _quoted(connection, "GRANT CONNECT ON DATABASE %I TO %I", database, role)
            )


async def _ensure_schema(connection: asyncpg.Connection, service: str) -> None:
    owner, runtime = owner_role(service), runtime_role(service)
    if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        # A managed server's administrator must be a member of a role to give it something.
        await connection.execute(await _quoted(connection, "GRANT %I TO CURRENT_USER", owner))
    await connection.execute(
        await _quoted(connection, "CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I", service, owner)
    )
    await connection.execute(await _quoted(connection, "GRANT USAGE ON SCHEMA %I TO %I", service, runtime))


async def _quoted(connection: asyncpg.Connection, template: str, *values: str) -> str:
    """The statement with names (%I) and literals (%L) quoted by the server: DDL takes no parameters."""
    places = ", ".join(f"${number}::text" for number in range(2, len(values) + 2))
    statement: str = await connection.fetchval(f"SELECT format($1, {places})", template, *values)
    return statement
