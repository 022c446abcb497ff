"""The engine's bounds, and "the database is away" told apart from everything else, on a PostgreSQL that really goes."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import answers, create_engine, is_contended, is_unavailable
from tests.disturbed import Disturbed, administrator_url
from tests.parts import Database

RUNTIME = "hadir_checkin"


@asynccontextmanager
async def engine_of(url: str, *, pool_size: int = 2, **options: float) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(url, pool_size=pool_size, application_name="hadir-test", **options)
    try:
        yield engine
    finally:
        await engine.dispose()


async def ask(engine: AsyncEngine, statement: str = "SELECT 1") -> object:
    async with engine.begin() as connection:
        return await connection.scalar(text(statement))


async def failure_or_none(engine: AsyncEngine, statement: str = "SELECT 1") -> BaseException | None:
    try:
        await ask(engine, statement)
    except Exception as error:  # noqa: BLE001 - any kind is what is asked
        return error
    return None


async def failure(engine: AsyncEngine, statement: str = "SELECT 1") -> BaseException:
    error = await failure_or_none(engine, statement)
    assert error is not None
    return error


async def both(engine: AsyncEngine) -> list[object]:
    return list(await asyncio.gather(ask(engine), ask(engine)))


async def test_every_wait_of_a_session_is_bounded(database: Database) -> None:
    async with engine_of(database.url(RUNTIME)) as engine:
        shown = {
            name: await ask(engine, f"SHOW {name}")
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "TimeZone",
                "application_name",
                "jit",
            )
        }
        assert shown == {
            "statement_timeout": "5s",
            "lock_timeout": "2s",
            "idle_in_transaction_session_timeout": "15s",
            "TimeZone": "UTC",
            "application_name": "hadir-test",
            "jit": "off",
        }


async def test_a_stopped_server_is_away_and_recovery_needs_no_restart(
    backends: Disturbed, database: Database
) -> None:
    async with engine_of(database.url(RUNTIME)) as engine:
        await asyncio.gather(ask(engine), ask(engine))
        await backends.stop("postgres")
        began = time.monotonic()
        assert is_unavailable(await failure(engine))
        assert is_unavailable(await failure(engine))
        assert not await answers(engine)
        assert time.monotonic() - began < 5
        await backends.start("postgres")
        # Both pooled connections are dead, and nobody notices.
        assert await both(engine) == [1, 1]
        assert await answers(engine)


async def test_a_restart_between_two_requests_fails_none(backends: Disturbed, database: Database) -> None:
    async with engine_of(database.url(RUNTIME)) as engine:
        await asyncio.gather(ask(engine), ask(engine))
        await backends.restart("postgres")
        assert await both(engine) == [1, 1]


async def test_a_killed_server_is_away_for_the_statement_in_flight_and_while_it_recovers(
    backends: Disturbed, database: Database
) -> None:
    async with engine_of(database.url(RUNTIME)) as engine:
        running = asyncio.create_task(failure(engine, "SELECT pg_sleep(4)"))
        await asyncio.sleep(0.3)
        await backends.kill("postgres")
        assert is_unavailable(await running)
        deadline = time.monotonic() + 20
        # Refused, then "starting up" or "in recovery" (57P03), then back.
        while time.monotonic() < deadline:
            error = await failure_or_none(engine)
            if error is None:
                break
            assert is_unavailable(error), error
            await asyncio.sleep(0.01)
        else:
            pytest.fail("it did not come back")
    await backends.ready("postgres")


async def test_a_session_ended_by_an_administrator_is_away(database: Database) -> None:
    async with (
        engine_of(database.url(RUNTIME)) as engine,
        engine_of(administrator_url(database)) as administrator,
    ):
        running = asyncio.create_task(failure(engine, "SELECT pg_sleep(4)"))
        await asyncio.sleep(0.3)
        await ask(
            administrator,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'hadir_checkin'",
        )
        assert is_unavailable(await running)
        assert await ask(engine) == 1


async def test_a_full_or_read_only_server_is_away(database: Database) -> None:
    async with engine_of(administrator_url(database)) as administrator:
        await ask_ddl(administrator, f"ALTER ROLE {RUNTIME} CONNECTION LIMIT 0")
        try:
            async with engine_of(database.url(RUNTIME)) as engine:
                assert is_unavailable(await failure(engine))
        finally:
            await ask_ddl(administrator, f"ALTER ROLE {RUNTIME} CONNECTION LIMIT -1")
        await ask_ddl(administrator, "CREATE TABLE checkin.things (id int PRIMARY KEY)")
        await ask_ddl(administrator, f"GRANT ALL ON checkin.things TO {RUNTIME}")
        await ask_ddl(administrator, f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
        async with engine_of(database.url(RUNTIME)) as engine:
            assert is_unavailable(await failure(engine, "INSERT INTO checkin.things VALUES (1) RETURNING id"))
            assert not await answers(engine)


async def ask_ddl(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SET TRANSACTION READ WRITE"))
        await connection.execute(text(statement))


async def test_an_exhausted_pool_is_away_and_typed(database: Database) -> None:
    async with engine_of(database.url(RUNTIME), pool_size=1, pool_timeout=0.2) as engine:
        busy = asyncio.create_task(ask(engine, "SELECT pg_sleep(1)"))
        await asyncio.sleep(0.2)
        assert is_unavailable(await failure(engine))
        await busy


async def test_a_session_that_hangs_is_given_up_by_the_client(database: Database) -> None:
    async with engine_of(database.url(RUNTIME), statement_timeout=0.5) as engine:
        pid = await ask(engine, "SELECT pg_backend_pid()")
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert is_unavailable(await failure(engine))
            assert time.monotonic() - began < 6
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await ask(engine) == 1


async def test_what_is_the_statements_own_fault_is_not_away(database: Database) -> None:
    async with engine_of(database.url(RUNTIME), statement_timeout=0.2) as engine:
        for statement in ("SELECT 1/0", "SELECT nothing", "SELECT * FROM auth.people", "SELEC 1"):
            error = await failure(engine, statement)
            assert not is_unavailable(error)
            assert not is_contended(error)
        slow = await failure(engine, "SELECT pg_sleep(2)")
        assert is_contended(slow)
        assert not is_unavailable(slow)
    assert not is_unavailable(ValueError("a handler's own"))


async def test_a_migration_under_a_running_service_costs_one_repetition(database: Database) -> None:
    async with engine_of(administrator_url(database), pool_size=1) as engine:
        await ask_ddl(engine, "CREATE TABLE checkin.things (id int PRIMARY KEY)")
        assert await ask(engine, "SELECT * FROM checkin.things") is None
        async with engine_of(administrator_url(database)) as migrating:
            await ask_ddl(migrating, "ALTER TABLE checkin.things ADD COLUMN name text")
        assert is_contended(await failure(engine, "SELECT * FROM checkin.things"))
        assert await ask(engine, "SELECT * FROM checkin.things") is None


async def test_a_password_that_is_being_changed_is_away(database: Database) -> None:
    async with engine_of(database.url(RUNTIME).replace(f"{RUNTIME}:", f"{RUNTIME}:not-")) as engine:
        assert is_unavailable(await failure(engine))
        assert not await answers(engine)


async def test_cancelled_requests_leave_no_connection_behind(database: Database) -> None:
    async with engine_of(database.url(RUNTIME), pool_size=2, pool_timeout=1.0) as engine:
        for _ in range(20):
            task = asyncio.create_task(ask(engine, "SELECT pg_sleep(3)"))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await both(engine) == [1, 1]
