"""SQLite's exceptions in the words of ``infra.db``."""

import re
from typing import Final

import apsw

from tremula.infra.db.errors import Conflict, DatabaseUnavailable, InvalidValue

_TABLE: Final = re.compile(r"constraint failed: (\w+)\.")


def translated(error: Exception) -> Exception:
    """What the caller is told; *error* itself if it is a bug of ours."""
    match error:
        case apsw.ConstraintError():
            return _refused(error)
        case UnicodeEncodeError() | OverflowError() | apsw.TooBigError():
            return InvalidValue(str(error))
        case apsw.MismatchError():
            return InvalidValue(str(error))
        case (
            apsw.FullError() | apsw.IOError() | apsw.BusyError() | apsw.ReadOnlyError()
        ):
            return DatabaseUnavailable(str(error))
    return error


def _refused(error: apsw.ConstraintError) -> Exception:
    if "cannot store" in str(error):
        # A STRICT table and a value of another type.
        return InvalidValue(str(error))
    match = _TABLE.search(str(error))
    return Conflict(str(error), table=match[1] if match else "")
