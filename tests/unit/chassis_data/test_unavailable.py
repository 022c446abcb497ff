"""Which errors say that the database is away, and names that may stand in SQL."""

import socket

import asyncpg
import pytest
from asyncpg.exceptions._base import InterfaceError
from sqlalchemy import exc

from chassis.database import identifier, is_contended, is_unavailable, sqlstate


def wrapped(error: Exception) -> exc.DBAPIError:
    """As SQLAlchemy wraps what asyncpg raises."""
    outer = exc.DBAPIError("SELECT 1", None, error)
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("57P01"),
        asyncpg.CrashShutdownError("57P02"),
        asyncpg.CannotConnectNowError("57P03"),
        asyncpg.TooManyConnectionsError("53300"),
        asyncpg.DiskFullError("53100"),
        asyncpg.ReadOnlySQLTransactionError("25006"),
        asyncpg.IdleInTransactionSessionTimeoutError("25P03"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle"),
        asyncpg.PostgresIOError("58030"),
    ],
)
def test_the_servers_own_words_for_being_away(error: Exception) -> None:
    assert is_unavailable(error)
    assert is_unavailable(wrapped(error))
    assert not is_contended(error)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        ConnectionResetError(104, "reset"),
        FileNotFoundError(2, "no such socket"),
        socket.gaierror(-2, "unknown name"),
        TimeoutError(),
        exc.TimeoutError("QueuePool limit"),
        InterfaceError("cannot perform operation: connection is closed"),
        exc.DBAPIError("SELECT 1", None, Exception("lost"), connection_invalidated=True),
    ],
)
def test_a_server_that_does_not_answer(error: Exception) -> None:
    assert is_unavailable(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError("23505"),
        asyncpg.UndefinedTableError("42P01"),
        asyncpg.InvalidTextRepresentationError("22P02"),
        InterfaceError("cannot encode argument"),
        # Two users of one connection: a mistake of ours, to be seen.
        InterfaceError("cannot perform operation: another operation is in progress"),
        ValueError("a rule"),
        KeyError("a field"),
        exc.IntegrityError("INSERT", None, Exception("duplicate")),
    ],
)
def test_a_statements_own_fault(error: Exception) -> None:
    assert not is_unavailable(error)
    assert not is_unavailable(wrapped(error))
    assert not is_contended(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.QueryCanceledError("57014"),
        asyncpg.LockNotAvailableError("55P03"),
        asyncpg.DeadlockDetectedError("40P01"),
        asyncpg.SerializationError("40001"),
    ],
)
def test_what_may_succeed_when_repeated(error: Exception) -> None:
    assert is_contended(wrapped(error))
    assert not is_unavailable(wrapped(error))


def test_an_error_that_causes_itself_is_looked_at_once() -> None:
    error = ValueError("round")
    error.__cause__ = error
    assert not is_unavailable(error)
    assert sqlstate(error) == ""


@pytest.mark.parametrize(
    "name", ["", "Checkin", "check in", "checkin; DROP", "1checkin", "checkin\n", '"x"', "é"]
)
def test_a_name_that_would_need_quotes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        identifier(name)
    assert identifier("checkin_2") == "checkin_2"
