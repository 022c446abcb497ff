"""Schema migrations of a service: Alembic without an ini file or an env.py, and the tables every service shares.

Owner: the chassis. A service keeps its revisions in services/<service>/migrations/versions; the schema and the two
roles (owner, runtime) are made by `ops.database` before. docs/decisions/0036-migrations.md.
"""

import asyncio
import logging
import random
import time
from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from chassis.database import CONNECT_TIMEOUT_SECONDS, identifier, sqlstate

logger = logging.getLogger(__name__)

VERSION_TABLE: Final = "schema_version"
LOCK_TIMEOUT_SECONDS: Final = 3.0
MIGRATOR_WAIT_SECONDS: Final = 120.0
ATTEMPTS: Final = 10
_LOCK_NOT_AVAILABLE: Final = "55P03"
# First half of the two-integer advisory lock; the second half is the schema's hash.
_ADVISORY_CLASS: Final = 0x48414449  # "HADI"


class MigrationError(Exception):
    """The schema could not be brought up to date; the message says what to do."""


def migrate(url: str, *, schema: str, script_location: Path, runtime_role: str) -> None:
    """Bring `schema` to its newest revision. Repeating it changes nothing; two at once wait for each other.

    Args:
        url: of the schema's owner role (postgresql+asyncpg://...).
        schema: the service's schema; it must exist.
        script_location: the folder that holds `versions/`.
        runtime_role: the role that the serving process uses; helpers here and `grant` give it its rights.

    Raises:
        MigrationError: the schema is missing, another migrator did not finish, or a lock was not to be had.
    """
    asyncio.run(upgrade(url, schema=schema, script_location=script_location, runtime_role=runtime_role))


async def upgrade(url: str, *, schema: str, script_location: Path, runtime_role: str) -> None:
    """`migrate` for a caller that already has an event loop."""
    identifier(schema), identifier(runtime_role)
    engine = create_async_engine(
        url,
        poolclass=NullPool,
        connect_args={
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "server_settings": {
                "application_name": f"hadir-migrate-{schema}",
                "timezone": "UTC",
                # A migration that waits for a lock makes everybody behind it wait too: give up soon, try again later.
                "lock_timeout": str(int(LOCK_TIMEOUT_SECONDS * 1000)),
                "search_path": schema,
            },
        },
    )
    try:
        async with engine.connect() as connection:
            exists = await connection.scalar(
                text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": schema}
            )
            if not exists:
                raise MigrationError(f"schema {schema!r} does not exist: create schemas and roles first")
            await _take_advisory_lock(connection, schema)
            await _upgrade_patiently(connection, schema, script_location, runtime_role)
    finally:
        # Ends the session, and with it the advisory lock.
        await engine.dispose()


async def _take_advisory_lock(connection: AsyncConnection, schema: str) -> None:
    deadline = time.monotonic() + MIGRATOR_WAIT_SECONDS
    while not await connection.scalar(
        text("SELECT pg_try_advisory_lock(:class, hashtext(:schema))"),
        {"class": _ADVISORY_CLASS, "schema": schema},
    ):
        await connection.rollback()
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another migration of {schema!r} has not finished in {MIGRATOR_WAIT_SECONDS:.0f} s"
            )
        await asyncio.sleep(0.1)
    await connection.commit()


async def _upgrade_patiently(
    connection: AsyncConnection, schema: str, script_location: Path, runtime_role: str
) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await connection.run_sync(_run, schema, script_location, runtime_role)
        except DBAPIError as error:
            await connection.rollback()
            if sqlstate(error) != _LOCK_NOT_AVAILABLE or attempt == ATTEMPTS:
                raise
            pause = min(0.5 * 2**attempt, 15.0) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            logger.warning(
                "migration of %s: a table is locked (try %d), again in %.1f s", schema, attempt, pause
            )
            await asyncio.sleep(pause)
        else:
            return


def _run(connection: Connection, schema: str, script_location: Path, runtime_role: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: object) -> Any:
        return script._upgrade_revs("head", revision)  # what alembic.command.upgrade itself calls

    with EnvironmentContext(config, script, fn=steps, destination_rev="head") as environment:
        environment.configure(
            connection=connection,
            version_table=VERSION_TABLE,
            version_table_schema=schema,
            include_schemas=True,
            include_name=lambda name, kind, _parents: kind != "schema" or name == schema,
            transaction_per_migration=True,
            hadir_runtime_role=runtime_role,
        )
        with environment.begin_transaction():
            environment.run_migrations()
    connection.commit()


def grant(
    op: Operations, schema: str, table: str, privileges: str = "SELECT, INSERT, UPDATE, DELETE"
) -> None:
    """Within a revision: give the runtime role `privileges` on `schema.table` (identity columns need no more)."""
    role = op.get_context().opts["hadir_runtime_role"]
    op.execute(f"GRANT {privileges} ON {identifier(schema)}.{identifier(table)} TO {identifier(role)}")


def create_outbox(op: Operations, schema: str) -> None:
    """Within a revision: the table of chassis.outbox, its partial index and the runtime role's rights."""
    identifier(schema)
    op.execute(
        f"""
        CREATE TABLE {schema}.outbox (
            id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            subject     text        NOT NULL,
            msg_id      text        NOT NULL,
            event_type  text        NOT NULL,
            source      text        NOT NULL,
            occurred_at timestamptz NOT NULL,
            payload     bytea       NOT NULL,
            created_at  timestamptz NOT NULL DEFAULT now(),
            sent_at     timestamptz
        ) WITH (
            -- Every row is updated once and deleted once, in order: vacuum little and often, so that the index of
            -- unsent rows stays a page or two and the space is used again.
            autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
            autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.05,
            autovacuum_vacuum_cost_delay = 2
        )
        """
    )
    op.execute(f"CREATE INDEX outbox_unsent ON {schema}.outbox (id) WHERE sent_at IS NULL")
    grant(op, schema, "outbox")


def create_poison(op: Operations, schema: str) -> None:
    """Within a revision: the table where chassis.jetstream sets messages aside that cannot be applied."""
    identifier(schema)
    op.execute(
        f"""
        CREATE TABLE {schema}.poison (
            id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            consumer   text        NOT NULL,
            msg_id     text        NOT NULL,
            event_type text        NOT NULL,
            subject    text        NOT NULL,
            stream_seq bigint      NOT NULL,
            reason     text        NOT NULL,
            error      text        NOT NULL,
            headers    jsonb       NOT NULL,
            payload    bytea       NOT NULL,
            tries      integer     NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (consumer, msg_id)
        )
        """
    )
    grant(op, schema, "poison")
