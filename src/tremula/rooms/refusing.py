"""What users are told whose events the authorisation rules refuse."""

from typing import Final

import structlog

from tremula.protocol.errors import AuthRuleViolation, MatrixError
from tremula.protocol.identifiers import RoomId

_log: Final = structlog.get_logger(__name__)


def refusal(
    error: AuthRuleViolation, room_id: RoomId, *, event_type: str
) -> MatrixError:
    """What they lack, in plain words; the log says which rule it was."""
    _log.info("event_refused", room_id=room_id, type=event_type, rule=error.rule)
    return error.answer()
