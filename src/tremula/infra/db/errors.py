"""What can go wrong in the database, whichever engine it is."""


class DatabaseError(Exception):
    """Base of everything that ``infra.db`` raises itself."""


class Conflict(DatabaseError):
    """A constraint refused the unit, usually a unique key that is taken.

    Nothing of the unit was stored. ``table`` names the table that refused, so that
    a unit over several tables can tell a taken name from a repeated request; it is
    empty where the engine does not say.
    """

    def __init__(self, message: str, *, table: str = "") -> None:
        super().__init__(message)
        self.table = table


class InvalidValue(DatabaseError, ValueError):
    """A parameter that no column can hold: NUL in a text, a lone surrogate, 2^63."""


class DatabaseUnavailable(DatabaseError):
    """The database can't be used now (restarting, disk full); nothing was stored."""


class SlotLost(DatabaseUnavailable):
    """Another process does the work of the unit's slot now; nothing was stored."""


class WriterLost(DatabaseUnavailable):
    """This process was taken for dead: it can store nothing any more."""


class DatabaseRefused(DatabaseError):
    """The database must not be opened as it is; the message tells an operator why."""


class DatabaseInUse(DatabaseRefused):
    """Another process has this database open for writing."""


class DatabaseTooNew(DatabaseRefused):
    """A newer version of the program has already changed this database."""


class ServerNameChanged(DatabaseRefused):
    """The database belongs to a server of another name."""


class CopyRefused(DatabaseRefused):
    """One database can't be copied to the other; nothing was changed."""


class CopyUnfinished(DatabaseRefused):
    """The database is a copy of another that is not complete and verified yet."""
