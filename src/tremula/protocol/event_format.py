"""Format and size of events (RVx "Event format", CS "Size limits")."""

from collections.abc import Mapping
from typing import Any

from tremula.protocol.errors import BadJson, InvalidParam, TooLarge
from tremula.protocol.event_values import Event
from tremula.protocol.hashes import encode_event_json, event_id_of
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    parse_event_id,
    parse_room_id,
    parse_user_id,
)
from tremula.protocol.room_versions import EventIdFormat, RoomVersion

PDU_BYTES_MAX = 65_536
FIELD_BYTES_MAX = 255
PREV_EVENTS_MAX = 20
AUTH_EVENTS_MAX = 10
_TIMESTAMP_MAX = 2**63 - 1


def parse_pdu(
    version: RoomVersion, pdu: Mapping[str, Any], *, bounds_links: bool = True
) -> Event:
    """Check the format of a PDU and give its value. Says nothing of its signatures.

    Without *bounds_links* it may name any number of previous and auth events.

    Raises:
        BadJson: it does not have the format of the room version.
        TooLarge: it, or one of its fields, is too large.
    """
    size_bytes = len(encode_event_json(version, pdu))
    _check_signed_parts(pdu)
    try:
        event_id = event_id_of(version, pdu)
        event = Event(
            event_id=event_id,
            room_id=_room_id(version, pdu, event_id),
            type=_string(pdu, "type"),
            sender=parse_user_id(pdu.get("sender")),
            state_key=_string(pdu, "state_key") if "state_key" in pdu else None,
            content=_object(pdu, "content"),
            origin_server_ts=_timestamp(pdu),
            depth=_depth(version, pdu),
            prev_events=_event_ids(version, pdu, "prev_events"),
            auth_events=_event_ids(version, pdu, "auth_events"),
            redacts=redacts_of(version, pdu),
        )
    except InvalidParam as error:
        raise BadJson(f"malformed event: {error.message}") from error
    check_size(event, pdu_size_bytes=size_bytes)
    if bounds_links:
        _check_links(event)
    return event


def check_size(event: Event, *, pdu_size_bytes: int) -> None:
    """Check the size limits; the PDU is measured with signatures, as canonical JSON.

    Raises:
        TooLarge: one of them is exceeded.
    """
    if pdu_size_bytes > PDU_BYTES_MAX:
        raise TooLarge(f"the event is larger than {PDU_BYTES_MAX} bytes")
    state_key = event.state_key or ""
    fields = (event.type, state_key, event.sender, event.room_id, event.event_id)
    # No character takes more than four bytes in UTF-8.
    if max(map(len, fields)) * 4 <= FIELD_BYTES_MAX:
        return
    if any(len(field.encode()) > FIELD_BYTES_MAX for field in fields):
        raise TooLarge(
            f"type, state_key, sender, room_id or event_id exceeds"
            f" {FIELD_BYTES_MAX} bytes"
        )


def _check_links(event: Event) -> None:
    if len(event.prev_events) > PREV_EVENTS_MAX:
        raise BadJson(f"malformed event: more than {PREV_EVENTS_MAX} prev_events")
    if len(event.auth_events) > AUTH_EVENTS_MAX:
        raise BadJson(f"malformed event: more than {AUTH_EVENTS_MAX} auth_events")


def redacts_of(version: RoomVersion, pdu: Mapping[str, Any]) -> EventId | None:
    """The event that an ``m.room.redaction`` redacts; None if it names none.

    *pdu* has a ``type`` and a ``content``.
    """
    if pdu["type"] != "m.room.redaction":
        return None
    holder = pdu["content"] if version.redacts_in_content else pdu
    redacts = holder.get("redacts")
    return EventId(redacts) if isinstance(redacts, str) else None


def _check_signed_parts(pdu: Mapping[str, Any]) -> None:
    """``hashes`` and ``signatures`` are strings in objects, ``unsigned`` an object."""
    if not isinstance(_object(pdu, "hashes").get("sha256"), str):
        raise BadJson("malformed event: hashes.sha256 must be a string")
    for signatures in _object(pdu, "signatures").values():
        if not isinstance(signatures, dict) or not all(
            isinstance(signature, str) for signature in signatures.values()
        ):
            raise BadJson("malformed event: signatures must be {server: {key: string}}")
    if "unsigned" in pdu:
        _object(pdu, "unsigned")


def _room_id(version: RoomVersion, pdu: Mapping[str, Any], event_id: EventId) -> RoomId:
    if version.room_id_is_create_hash and pdu.get("type") == "m.room.create":
        # RV12 "Authorisation rules": "If the event has a room_id, reject."
        if "room_id" in pdu:
            raise BadJson("malformed event: m.room.create must not have a room_id")
        return RoomId("!" + event_id[1:])
    return parse_room_id(pdu.get("room_id"))


def _string(pdu: Mapping[str, Any], key: str) -> str:
    value = pdu.get(key)
    if not isinstance(value, str):
        raise BadJson(f"malformed event: {key} must be a string")
    return value


def _object(pdu: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = pdu.get(key)
    if not isinstance(value, dict):
        raise BadJson(f"malformed event: {key} must be an object")
    return value


def _integer(pdu: Mapping[str, Any], key: str) -> int:
    value = pdu.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadJson(f"malformed event: {key} must be an integer")
    return value


def _timestamp(pdu: Mapping[str, Any]) -> int:
    """``origin_server_ts``, which until room version 5 no rule bounds."""
    timestamp = _integer(pdu, "origin_server_ts")
    if abs(timestamp) > _TIMESTAMP_MAX:
        raise BadJson("malformed event: origin_server_ts has more than 64 bits")
    return timestamp


def _depth(version: RoomVersion, pdu: Mapping[str, Any]) -> int:
    depth = _integer(pdu, "depth")
    if not 0 <= depth <= version.depth_max:
        raise BadJson(f"malformed event: depth must be within 0..{version.depth_max}")
    return depth


def _event_ids(
    version: RoomVersion, pdu: Mapping[str, Any], key: str
) -> tuple[EventId, ...]:
    entries = pdu.get(key)
    if not isinstance(entries, list):
        raise BadJson(f"malformed event: {key} must be a list of events")
    if version.event_ids is EventIdFormat.DOMAIN:
        return tuple(parse_event_id(_first_of_pair(entry)) for entry in entries)
    return tuple(parse_event_id(entry) for entry in entries)


def _first_of_pair(entry: object) -> object:
    """The event ID of ``[event_id, {"sha256": reference hash}]`` (RV1, RV2)."""
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict):
        return entry[0]
    raise BadJson("malformed event: events must be given as [event ID, hashes]")
