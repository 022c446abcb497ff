"""Migrations: as the owner, one at a time, patient with locks, and nothing half done."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import migrations
from chassis.database import create_engine, sqlstate
from chassis.migrations import MigrationError, upgrade
from chassis.outbox.store import _statements
from ops.database import runtime_role
from tests.disturbed import administrator_url
from tests.parts import Database

FIRST = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("CREATE TABLE checkin.first (id int PRIMARY KEY)")
    op.execute("SELECT pg_sleep(0.2)")
"""
SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("ALTER TABLE checkin.first ADD COLUMN name text")
"""
BROKEN = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("ALTER TABLE checkin.first ADD COLUMN name text")
    op.execute("SELECT 1/0")
"""


@pytest.fixture
async def engine_of_owner(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.owner_url("checkin"), pool_size=2, application_name="test")
    yield engine
    await engine.dispose()


def scripts(directory: Path, *sources: str) -> Path:
    versions = directory / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(sources, 1):
        (versions / f"{number:04}_step.py").write_text(source)
    return directory


async def run(database: Database, location: Path, schema: str = "checkin") -> None:
    await upgrade(
        database.owner_url("checkin"),
        schema=schema,
        script_location=location,
        runtime_role=runtime_role("checkin"),
    )


async def columns(engine: AsyncEngine) -> set[str]:
    async with engine.begin() as connection:
        found = await connection.scalars(
            text(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'checkin' AND table_name = 'first'"
            )
        )
        return set(found)


async def test_repeating_changes_nothing_and_a_new_revision_is_added(
    database: Database, tmp_path: Path, engine_of_owner: AsyncEngine
) -> None:
    await run(database, scripts(tmp_path, FIRST))
    await run(database, scripts(tmp_path, FIRST))
    assert await columns(engine_of_owner) == {"id"}
    await run(database, scripts(tmp_path, FIRST, SECOND))
    assert await columns(engine_of_owner) == {"id", "name"}


async def test_three_migrators_at_once_do_the_work_once(
    database: Database, tmp_path: Path, engine_of_owner: AsyncEngine
) -> None:
    location = scripts(tmp_path, FIRST, SECOND)
    await asyncio.gather(*(run(database, location) for _ in range(3)))
    assert await columns(engine_of_owner) == {"id", "name"}


async def test_a_locked_table_is_waited_for(
    database: Database, tmp_path: Path, engine_of_owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_SECONDS", 0.2)
    await run(database, scripts(tmp_path, FIRST))
    async with engine_of_owner.connect() as reader:
        await reader.execute(text("SELECT * FROM checkin.first"))
        migrating = asyncio.create_task(run(database, scripts(tmp_path, FIRST, SECOND)))
        await asyncio.sleep(1.0)
        assert not migrating.done()
        # The lock was given back in between: others may write.
        await reader.execute(text("INSERT INTO checkin.first VALUES (1)"))
        await reader.commit()
        await migrating
    assert await columns(engine_of_owner) == {"id", "name"}


async def test_a_revision_that_fails_leaves_nothing_of_itself(
    database: Database, tmp_path: Path, engine_of_owner: AsyncEngine
) -> None:
    with pytest.raises(DBAPIError) as caught:
        await run(database, scripts(tmp_path, FIRST, BROKEN))
    assert sqlstate(caught.value) == "22012"
    assert await columns(engine_of_owner) == {"id"}
    await run(database, scripts(tmp_path, FIRST, SECOND))
    assert await columns(engine_of_owner) == {"id", "name"}


async def test_a_missing_schema_is_said(database: Database, tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="does not exist"):
        await run(database, scripts(tmp_path, FIRST), schema="nothing")


async def test_the_runtime_role_has_the_rights_it_needs_and_no_more(migrated: Database) -> None:
    engine = create_engine(migrated.runtime_url("checkin"), pool_size=1, application_name="test")
    allowed = [
        "INSERT INTO checkin.outbox SELECT FROM checkin.outbox WHERE false",
        "UPDATE checkin.outbox SET sent_at = now()",
        "DELETE FROM checkin.outbox",
        "SELECT * FROM checkin.poison",
    ]
    denied = [
        "DROP TABLE checkin.outbox",
        "CREATE TABLE checkin.mine ()",
        "SELECT * FROM checkin.schema_version",
    ]
    for statement in allowed:
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    for statement in denied:
        with pytest.raises(DBAPIError) as caught:
            async with engine.begin() as connection:
                await connection.execute(text(statement))
        assert sqlstate(caught.value) == "42501"
    await engine.dispose()


async def test_claiming_and_purging_use_their_indexes(migrated: Database) -> None:
    """A week of a regency's events lies there, all sent but a few: a claim must not read them."""
    engine = create_engine(administrator_url(migrated), pool_size=1, application_name="test")
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO checkin.outbox (subject, msg_id, event_type, source, occurred_at, payload, sent_at)"
                " SELECT 's', n::text, 't', 'x', now(), decode(repeat('00', 300), 'hex'),"
                " CASE WHEN n % 20000 > 0 THEN now() END FROM generate_series(1, 60000) AS n"
            )
        )
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(
            text("VACUUM ANALYZE checkin.outbox")
        )
    async with engine.begin() as connection:
        for statement, parameters in (
            (_statements("checkin").claim, {"batch": 500, "deferred": []}),
            (_statements("checkin").purge, {"batch": 1000, "keep": timedelta(days=7)}),
        ):
            plan = "\n".join(await connection.scalars(text(f"EXPLAIN {statement}"), parameters))
            assert "Seq Scan" not in plan, plan
            assert "outbox_unsent" in plan or "outbox_pkey" in plan
    await engine.dispose()
