"""Events of rooms that don't federate (``m.federate`` is false).

No other server ever sees them: they are neither hashed nor signed, name no other
events, and their IDs may be any.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from tremula.protocol.errors import InvalidParam
from tremula.protocol.event_format import FIELD_BYTES_MAX, check_size, redacts_of
from tremula.protocol.event_values import BuiltEvent, Event, EventDraft
from tremula.protocol.hashes import encode_event_json
from tremula.protocol.identifiers import EventId
from tremula.protocol.room_versions import RoomVersion

NO_SERVER_JSON: Final = b"{}"
"""What only servers need of such an event: nothing."""

_CHOSEN_ID: Final = re.compile(
    r"\$[^\s:\x00-\x1f\x7f\ud800-\udfff]+:[^\s\x00-\x1f\x7f\ud800-\udfff]+"
)


def parse_chosen_event_id(raw: object) -> EventId:
    """An event ID that an application service has chosen, ``$opaque:any.domain``.

    The colon keeps it apart from the hashes that name events since room version 3: so
    no event that another server has yet to send can be forestalled.

    Raises:
        InvalidParam: *raw* is not like that, or longer than 255 bytes.
    """
    if not isinstance(raw, str) or not _CHOSEN_ID.fullmatch(raw):
        raise InvalidParam("a chosen event ID must be like $opaque:domain")
    if len(raw.encode()) > FIELD_BYTES_MAX:
        raise InvalidParam(f"an event ID has at most {FIELD_BYTES_MAX} bytes")
    return EventId(raw)


def build_local_event(
    version: RoomVersion,
    draft: EventDraft,
    *,
    event_id: EventId,
    depth: int,
    prev_events: Sequence[EventId] = (),
) -> BuiltEvent:
    """Finish a draft whose room does not federate, and is not being created by it.

    The *prev_events* are for the authorisation rules only.

    Raises:
        BadJson: the content is not canonical JSON, or a string cannot be encoded.
        TooLarge: the event, or one of its fields, exceeds the size limits.
    """
    assert draft.room_id is not None
    content = draft.content
    said: dict[str, Any] = {
        "content": content,
        "event_id": event_id,
        "origin_server_ts": draft.origin_server_ts,
        "room_id": draft.room_id,
        "sender": draft.sender,
        "type": draft.type,
    }
    if draft.state_key is not None:
        said["state_key"] = draft.state_key
    if draft.redacts is not None:
        if version.redacts_in_content:
            content = said["content"] = {**content, "redacts": draft.redacts}
        else:
            said["redacts"] = draft.redacts
    client_json = encode_event_json(version, said)
    event = Event(
        event_id=event_id,
        room_id=draft.room_id,
        type=draft.type,
        sender=draft.sender,
        state_key=draft.state_key,
        content=content,
        origin_server_ts=draft.origin_server_ts,
        depth=depth,
        prev_events=tuple(prev_events),
        auth_events=(),
        redacts=redacts_of(version, said),
    )
    check_size(event, pdu_size_bytes=len(client_json))
    return BuiltEvent(event, client_json, NO_SERVER_JSON)
