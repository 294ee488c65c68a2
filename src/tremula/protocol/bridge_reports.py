"""What bridges report: states of their logins, and how far messages have come."""

from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec
import orjson
from msgspec import Meta, Struct

from tremula.protocol.errors import BadJson, TooLarge

CHECKPOINTS_MAX: Final = 500
"""In one report."""
_REPORT_BYTES_MAX: Final = 16 * 1024

T = TypeVar("T")

_Text = Annotated[str, Meta(max_length=255)]


class StateEvent(StrEnum):
    """What a bridge, or one of its logins, is doing."""

    STARTING = "STARTING"
    UNCONFIGURED = "UNCONFIGURED"
    RUNNING = "RUNNING"
    BRIDGE_UNREACHABLE = "BRIDGE_UNREACHABLE"
    CONNECTING = "CONNECTING"
    BACKFILLING = "BACKFILLING"
    CONNECTED = "CONNECTED"
    TRANSIENT_DISCONNECT = "TRANSIENT_DISCONNECT"
    BAD_CREDENTIALS = "BAD_CREDENTIALS"
    UNKNOWN_ERROR = "UNKNOWN_ERROR"
    LOGGED_OUT = "LOGGED_OUT"


class CheckpointStatus(StrEnum):
    """What became of a message at a step of its way."""

    SUCCESS = "SUCCESS"
    WILL_RETRY = "WILL_RETRY"
    PERM_FAILURE = "PERM_FAILURE"
    UNSUPPORTED = "UNSUPPORTED"
    TIMEOUT = "TIMEOUT"
    DELIVERY_FAILED = "DELIVERY_FAILED"


class BridgeState(Struct, frozen=True):
    """A state; of the whole bridge where ``remote_id`` is empty. ``raw`` is all."""

    state_event: StateEvent
    user_id: str
    remote_id: str
    raw: str


class Checkpoint(Struct, frozen=True):
    """How far an event has come; ``raw`` is all that was said."""

    event_id: str
    step: str
    status: CheckpointStatus
    raw: str


class _State(Struct):
    state_event: StateEvent
    user_id: _Text | None = None
    remote_id: _Text | None = None


class _Checkpoint(Struct):
    event_id: _Text
    step: Annotated[str, Meta(max_length=50)]
    status: CheckpointStatus


class _Checkpoints(Struct):
    checkpoints: Annotated[list[dict[str, Any]], Meta(max_length=CHECKPOINTS_MAX)]


def parse_state(raw: object) -> BridgeState:
    """Read a state.

    Raises:
        BadJson: it is none.
        TooLarge: it is longer than 16 KiB.
    """
    state = _convert(raw, _State)
    return BridgeState(
        state.state_event, state.user_id or "", state.remote_id or "", _encoded(raw)
    )


def parse_checkpoints(raw: object) -> list[Checkpoint]:
    """Read the checkpoints of a report.

    Raises:
        BadJson: there is something else.
        TooLarge: one of them is longer than 16 KiB.
    """
    found = []
    for each in _convert(raw, _Checkpoints).checkpoints:
        checkpoint = _convert(each, _Checkpoint)
        found.append(
            Checkpoint(
                checkpoint.event_id,
                checkpoint.step,
                checkpoint.status,
                _encoded(each),
            )
        )
    return found


def _convert(raw: object, to: type[T]) -> T:
    try:
        return msgspec.convert(raw, to)
    except msgspec.ValidationError as error:
        raise BadJson(str(error).replace("`", "'")) from None


def _encoded(raw: object) -> str:
    encoded = orjson.dumps(raw)
    if len(encoded) > _REPORT_BYTES_MAX:
        raise TooLarge("the report is too long")
    return encoded.decode()
