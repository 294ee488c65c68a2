"""SQLite and PostgreSQL behind one interface."""

from tremula.infra.db.database import Database, MemberDatabase, Settled
from tremula.infra.db.errors import (
    Conflict,
    CopyRefused,
    CopyUnfinished,
    DatabaseError,
    DatabaseInUse,
    DatabaseRefused,
    DatabaseTooNew,
    DatabaseUnavailable,
    InvalidValue,
    ServerNameChanged,
    SlotLost,
    WriterLost,
)
from tremula.infra.db.fencing import WriterLease
from tremula.infra.db.migrations import check_server_name, find_server_name
from tremula.infra.db.opening import (
    migrate_together,
    open_database,
    open_member_database,
)
from tremula.infra.db.reader import Engine, Reader, Row
from tremula.infra.db.unit import Params, Returned, Statement, Statements, Unit

__all__ = [
    "Conflict",
    "CopyRefused",
    "CopyUnfinished",
    "Database",
    "DatabaseError",
    "DatabaseInUse",
    "DatabaseRefused",
    "DatabaseTooNew",
    "DatabaseUnavailable",
    "Engine",
    "InvalidValue",
    "MemberDatabase",
    "Params",
    "Reader",
    "Returned",
    "Row",
    "ServerNameChanged",
    "Settled",
    "SlotLost",
    "Statement",
    "Statements",
    "Unit",
    "WriterLease",
    "WriterLost",
    "check_server_name",
    "find_server_name",
    "migrate_together",
    "open_database",
    "open_member_database",
]
