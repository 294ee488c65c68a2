"""What was scheduled, and what became of it (MSC4140)."""

from enum import StrEnum
from typing import Any

import orjson
from msgspec import Struct

from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import DeviceId, EventId, RoomId, UserId
from tremula.protocol.json import loads_exact


class Action(StrEnum):
    """What may be done with a delayed event before its time."""

    SEND = "send"
    CANCEL = "cancel"
    RESTART = "restart"


class Reason(StrEnum):
    """What finalised a delayed event: somebody's action, or its time."""

    ACTION = "action"
    DELAY = "delay"


class Finalised(Struct, frozen=True):
    """How it ended: sent, or else cancelled, be it by an error (a JSON text)."""

    ts_ms: int
    reason: Reason
    event_id: EventId | None = None
    error: str | None = None

    @property
    def is_sent(self) -> bool:
        """Whether it has become an event."""
        return self.event_id is not None


class DelayedEvent(Struct, frozen=True, kw_only=True):
    """An event to be sent ``delay_ms`` after ``since_ts_ms``; ``content`` is JSON.

    If it ``is_begun`` it may have been sent already.
    """

    delay_id: str
    user_id: UserId
    device_id: DeviceId
    txn_id: str | None
    room_id: RoomId
    type: str
    state_key: str | None
    content: str
    delay_ms: int
    since_ts_ms: int
    scheduled_pos: int
    is_begun: bool = False
    finalised: Finalised | None = None

    @property
    def send_ts_ms(self) -> int:
        """When it is due."""
        return self.since_ts_ms + self.delay_ms

    def to_json(self) -> dict[str, Any]:
        """As its sender is shown it: by the names of the merged proposal, and by those
        that clients have known before.
        """
        state_key = {} if self.state_key is None else {"state_key": self.state_key}
        shown: dict[str, Any] = {
            "delay_id": self.delay_id,
            "room_id": self.room_id,
            "type": self.type,
            **state_key,
            "content": loads_exact(self.content.encode()),
            "delay_ms": self.delay_ms,
            "delayed_since_ts": self.since_ts_ms,
            # COMPAT(matrix-js-sdk, until its release with the merged names)
            "delay": self.delay_ms,
            "running_since": self.since_ts_ms,
        }
        if self.finalised is not None:
            shown |= _finalised_json(self.finalised)
        return shown


def _finalised_json(finalised: Finalised) -> dict[str, Any]:
    how: dict[str, Any] = {}
    if finalised.event_id is not None:
        how["event_id"] = finalised.event_id
    if finalised.error is not None:
        how["error"] = orjson.loads(finalised.error)
    return {
        "finalised": {"finalised_ts": finalised.ts_ms, **how},
        # COMPAT(matrix-js-sdk, until its release with the merged names)
        "outcome": "send" if finalised.is_sent else "cancel",
        "reason": "error" if finalised.error is not None else finalised.reason,
        "origin_server_ts": finalised.ts_ms,
        **how,
    }


class AlreadyFinalised(MatrixError):
    """The delayed event has ended in another way than asked for."""

    errcode = "M_UNKNOWN"

    def __init__(self, message: str) -> None:
        # Of the error alone, not of the class, does the status travel.
        super().__init__(message, status=409)


class StateReplaced(MatrixError):
    """Somebody else has set the state that the delayed event would have set."""

    errcode = "M_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("Somebody else has changed this state since.", status=409)
        self.extra["org.matrix.msc4140.errcode"] = "M_CANCELLED_BY_STATE_UPDATE"


class MaxDelayExceeded(MatrixError):
    """The delay is longer than this server allows.

    COMPAT(matrix-js-sdk, until its release with the capability): it looks for the code
    in a key of its own beside ``M_UNKNOWN``.
    """

    errcode = "M_UNKNOWN"

    def __init__(self, max_delay_ms: int) -> None:
        super().__init__(
            "The requested delay exceeds the allowed maximum.",
            max_delay=max_delay_ms,
        )
        self.extra["org.matrix.msc4140.errcode"] = "M_MAX_DELAY_EXCEEDED"
        self.extra["org.matrix.msc4140.max_delay"] = max_delay_ms
