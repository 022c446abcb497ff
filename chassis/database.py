"""PostgreSQL for a service: the engine with all its bounds, and what counts as "the database is away".

Owner: the chassis. It knows no table; migrations live in chassis.migrations, the outbox in chassis.outbox.
docs/decisions/0035-database-bounds.md has the reason for each limit.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event, exc, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_SECONDS: Final = 3.0
POOL_TIMEOUT_SECONDS: Final = 3.0
STATEMENT_TIMEOUT_SECONDS: Final = 5.0
LOCK_TIMEOUT_SECONDS: Final = 2.0
IDLE_IN_TRANSACTION_SECONDS: Final = 15.0
POOL_RECYCLE_SECONDS: Final = 1800

# SQLSTATE classes and codes that say: the server cannot work for anybody now, and the same statement may succeed later.
_AWAY_CLASSES: Final = frozenset(
    {
        "08",  # connection
        "28",  # invalid authorization: a password is being changed
        "3D",  # no such database: it is being restored
        "53",  # insufficient resources
        "58",  # system error
    }
)
_AWAY_CODES: Final = frozenset(
    {
        "25006",  # read_only_sql_transaction: a standby, or a failover half way
        "25P03",  # idle_in_transaction_session_timeout: the session is gone
        "25P04",  # transaction_timeout: the session is gone
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now: starting up, shutting down or in recovery
        "57P05",  # idle_session_timeout
    }
)
_SLOW_CODES: Final = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
        "57014",  # query_canceled: statement_timeout
    }
)
_CONNECTION_GONE: Final = re.compile(
    r"connection (is|was) closed|connection has been released|closed in the middle of operation"
)
_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def identifier(name: str) -> str:
    """A schema's, table's or role's name, safe to stand in SQL text without quotes.

    Raises:
        ValueError: it is not lower-case letters, digits and underscores.
    """
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"not a plain SQL identifier: {name!r}")
    return name


def create_engine(
    url: str,
    *,
    pool_size: int,
    application_name: str,
    statement_timeout: float = STATEMENT_TIMEOUT_SECONDS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    connect_timeout: float = CONNECT_TIMEOUT_SECONDS,
    pool_timeout: float = POOL_TIMEOUT_SECONDS,
) -> AsyncEngine:
    """An engine whose every wait is bounded. Opens no connection; all times in seconds.

    At most `pool_size` connections, none above: what the services may open together is checked against
    `max_connections`. A connection that the server has closed is replaced when it is taken from the pool, which costs
    no round trip (`pool_pre_ping` would cost one each time).
    """
    server_settings = {
        "application_name": application_name,
        "timezone": "UTC",
        "statement_timeout": str(int(statement_timeout * 1000)),
        "lock_timeout": str(int(lock_timeout * 1000)),
        "idle_in_transaction_session_timeout": str(int(IDLE_IN_TRANSACTION_SECONDS * 1000)),
        # Our statements are short: compiling one costs more than running it.
        "jit": "off",
    }
    engine = create_async_engine(
        make_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        pool_recycle=POOL_RECYCLE_SECONDS,
        # The one used last is the warmest, and the surplus ages out.
        pool_use_lifo=True,
        connect_args={
            "timeout": connect_timeout,
            # The client's own bound, above the server's: it is reached only when the server does not answer at all.
            "command_timeout": statement_timeout + 2.0,
            "server_settings": server_settings,
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    if dbapi_connection.driver_connection.is_closed():
        raise exc.DisconnectionError("closed by the server while it was in the pool")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting.append(getattr(one, "orig", None))
        waiting.append(one.__cause__)


def sqlstate(error: BaseException) -> str:
    """The five-character SQLSTATE that the server gave, or "" when it gave none."""
    for one in _chain(error):
        code = getattr(one, "sqlstate", None)
        if isinstance(code, str) and len(code) == 5:
            return code
    return ""


def is_unavailable(error: BaseException) -> bool:
    """True when the database is away: down, starting, unreachable, read-only, full, or out of connections.

    It says nothing about the statement: the same one may succeed later. A statement of one's own that was too slow
    is not "away" (`is_contended`), unless the server did not answer at all.
    """
    code = sqlstate(error)
    if code:
        return code[:2] in _AWAY_CLASSES or code in _AWAY_CODES
    return any(_lost(one) for one in _chain(error))


def _lost(error: BaseException) -> bool:
    if isinstance(error, (OSError, exc.TimeoutError, exc.DisconnectionError)):
        return True  # OSError: refused, reset, no such socket, and every timeout (TimeoutError is one)
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    if "InterfaceError" in names or "InternalClientError" in names:
        return _CONNECTION_GONE.search(str(error)) is not None
    return False


def is_contended(error: BaseException) -> bool:
    """True for a lock or statement timeout, a deadlock, a serialization failure: repeated, it may succeed.

    So for a statement that was prepared before a migration changed its table; the failure has it prepared anew.
    """
    return sqlstate(error) in _SLOW_CODES or any(
        type(one).__name__ == "InvalidCachedStatementError" for one in _chain(error)
    )


async def answers(engine: AsyncEngine) -> bool:
    """True when the database answers a query and takes writes; never raises for a database that is away."""
    try:
        async with engine.connect() as connection:
            read_only = await connection.scalar(text("SELECT current_setting('transaction_read_only')"))
            return bool(read_only == "off")
    except Exception as error:
        if is_unavailable(error) or is_contended(error):
            return False
        raise


def migrate(url: str, *, schema: str, script_location: Path, runtime_role: str) -> None:
    """`chassis.migrations.migrate`, imported only when asked for: a serving process has no use for Alembic."""
    from chassis.migrations import migrate as run  # noqa: PLC0415 - 11 MB and 0.1 s that a serving process does not need

    run(url, schema=schema, script_location=script_location, runtime_role=runtime_role)
