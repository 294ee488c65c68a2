"""How a command fails: one line on stderr and an exit code, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from tempfile import TemporaryFile


class ExitCode(IntEnum):
    """The exit codes of every command; the README lists them."""

    OK = 0
    BUG = 1
    CONFIG = 2
    REFUSED = 3
    DATA_DIR = 4
    DATABASE_IN_USE = 5
    DATABASE_TOO_NEW = 6
    SERVER_NAME_CHANGED = 7
    ADDRESS = 8
    DATABASE = 9
    UNHEALTHY = 10
    COPY_UNFINISHED = 11


class CommandFailed(Exception):
    """What an operator has to mend, in plain words on one line."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def database_failures() -> Iterator[None]:
    """Turn what the database says to an operator into a `CommandFailed`."""
    from tremula.infra.db import errors

    try:
        yield
    except errors.DatabaseInUse as error:
        raise CommandFailed(str(error), ExitCode.DATABASE_IN_USE) from error
    except errors.DatabaseTooNew as error:
        raise CommandFailed(str(error), ExitCode.DATABASE_TOO_NEW) from error
    except errors.ServerNameChanged as error:
        raise CommandFailed(str(error), ExitCode.SERVER_NAME_CHANGED) from error
    except errors.CopyRefused as error:
        raise CommandFailed(str(error), ExitCode.REFUSED) from error
    except errors.CopyUnfinished as error:
        raise CommandFailed(str(error), ExitCode.COPY_UNFINISHED) from error
    except (errors.DatabaseRefused, errors.DatabaseUnavailable) as error:
        raise CommandFailed(str(error), ExitCode.DATABASE) from error


def prepare_data_dir(path: Path) -> None:
    """Make the directory, readable for the server alone, unless it is there.

    Raises:
        CommandFailed: it can't be made or written to.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise CommandFailed(
            f"data_dir {path} can't be written to: {error.strerror}",
            ExitCode.DATA_DIR,
        ) from error
