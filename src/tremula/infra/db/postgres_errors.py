"""PostgreSQL's exceptions in the words of ``infra.db``."""

from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from tremula.infra.db.errors import Conflict, DatabaseUnavailable, InvalidValue

SERVER_GONE: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)
"""What asyncpg raises when the server is gone, going or not there yet."""

REFUSED: Final = (asyncpg.PostgresError, ValueError)
"""What it raises when the server has refused a statement, or asyncpg its parameters,
unless the server is gone.
"""

DEADLOCK: Final = asyncpg.DeadlockDetectedError
"""What it raises where two sessions wait for each other: the whole may be repeated."""


def translated(error: Exception) -> Exception:
    """What the caller is told; *error* itself if it is a bug of ours."""
    match error:
        case asyncpg.IntegrityConstraintViolationError():
            return Conflict(str(error), table=getattr(error, "table_name", "") or "")
        case asyncpg.DataError() | ValueError():
            # The server refused a value, or asyncpg could not encode it.
            return InvalidValue(str(error))
        case (
            asyncpg.InsufficientResourcesError()
            | asyncpg.InterfaceError()
            # What asyncpg may say when the server goes away in mid-statement.
            | asyncpg.InternalClientError()
        ):
            return DatabaseUnavailable(str(error))
    if isinstance(error, SERVER_GONE):
        return DatabaseUnavailable(f"PostgreSQL can't be reached: {error}")
    return error
