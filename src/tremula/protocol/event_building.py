"""Building events of our own.

Their content is encoded once, and goes as it is into the canonical JSON of what is
hashed, what is signed, and what is stored.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

import orjson
from orjson import Fragment

from tremula.protocol.base64 import encode_base64, encode_base64_urlsafe
from tremula.protocol.errors import BadJson
from tremula.protocol.event_format import check_size, redacts_of
from tremula.protocol.event_values import BuiltEvent, Event, EventDraft
from tremula.protocol.hashes import encode_event_json, event_id_from_hash
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    server_of,
)
from tremula.protocol.json import loads_exact
from tremula.protocol.redaction import redact_content
from tremula.protocol.room_versions import EventIdFormat, RoomVersion
from tremula.protocol.signing import LateKey, SigningKey

# {event ID: reference hash in unpadded Base64}
ReferenceHashes = Mapping[EventId, str]
_NO_HASHES: Final[ReferenceHashes] = MappingProxyType({})
_HASHES_BYTES: Final = len(',"hashes":{"sha256":""}') + 43  # of Base64
_SERVERS_MAX: Final = 100


def build_event(
    version: RoomVersion,
    draft: EventDraft,
    *,
    prev_events: Sequence[EventId],
    auth_events: Sequence[EventId],
    depth: int,
    signing_key: SigningKey | LateKey,
    reference_hashes: ReferenceHashes = _NO_HASHES,
) -> BuiltEvent:
    """Finish a draft: hash it, sign it for its sender's server, give it its ID.

    *reference_hashes* of the previous and auth events go into events of room versions
    1 and 2; one that is not known is left out. A `LateKey` saves half of the time.

    Raises:
        BadJson: the content is not canonical JSON, or a string cannot be encoded.
        TooLarge: the event, or one of its fields, exceeds the size limits.
    """
    depth = min(depth, version.depth_max)
    content = _content(version, draft)
    content_json = encode_event_json(version, content)
    seen = _seen(version, draft)
    links: dict[str, Any] = {
        "auth_events": event_links(version, auth_events, reference_hashes),
        "depth": depth,
        "prev_events": event_links(version, prev_events, reference_hashes),
    }
    pdu = {**seen, **links, "content": Fragment(content_json)}
    chosen_id = _choose_event_id(version, pdu, draft.sender)
    if chosen_id is not None:
        pdu["event_id"] = chosen_id
    unhashed = _encode(pdu)
    digest = sha256(unhashed).digest()
    links["hashes"] = pdu["hashes"] = {"sha256": encode_base64(digest)}
    kept_json = _redacted(version, draft.type, content, content_json)
    pdu["content"] = Fragment(kept_json)
    pdu.pop("redacts", None)
    signed = _encode(pdu)
    event_id = chosen_id or event_id_from_hash(version, sha256(signed).digest())
    event = Event(
        event_id=event_id,
        room_id=draft.room_id or RoomId("!" + event_id[1:]),
        type=draft.type,
        sender=draft.sender,
        state_key=draft.state_key,
        content=content,
        origin_server_ts=draft.origin_server_ts,
        depth=depth,
        prev_events=tuple(prev_events),
        auth_events=tuple(auth_events),
        redacts=_redacted_event(version, draft, content),
    )
    if not isinstance(signing_key, LateKey):
        links["signatures"] = _signatures(draft.sender, signing_key, signed)
    added_bytes = _added_bytes(server_of(draft.sender), signing_key.key_id)
    check_size(event, pdu_size_bytes=len(unhashed) + added_bytes)
    ids = {"event_id": event_id, "room_id": event.room_id}
    seen = {**seen, **ids, "content": Fragment(content_json)}
    return BuiltEvent(event, _encode(seen), _encode(links))


def pdu_json(
    version: RoomVersion, client_json: bytes, server_json: bytes
) -> dict[str, Any]:
    """The PDU that the two stored halves of an event make."""
    pdu: dict[str, Any] = loads_exact(client_json)
    if version.event_ids is not EventIdFormat.DOMAIN:
        del pdu["event_id"]
    if version.room_id_is_create_hash and pdu["type"] == "m.room.create":
        del pdu["room_id"]
    # Last, since another server's event may have an ``event_id`` that is none.
    pdu |= loads_exact(server_json)
    return pdu


def event_links(
    version: RoomVersion,
    event_ids: Sequence[EventId],
    known_hashes: ReferenceHashes = _NO_HASHES,
) -> list[object]:
    """``prev_events`` or ``auth_events`` as events have them; RV1 adds hashes."""
    if version.event_ids is not EventIdFormat.DOMAIN:
        return list(event_ids)
    return [
        [event_id, {"sha256": known_hashes[event_id]}]
        if event_id in known_hashes
        else [event_id, {}]
        for event_id in event_ids
    ]


def _seen(version: RoomVersion, draft: EventDraft) -> dict[str, Any]:
    """What clients see of the event as servers do; but for the content."""
    seen: dict[str, Any] = {
        "origin_server_ts": draft.origin_server_ts,
        "sender": draft.sender,
        "type": draft.type,
    }
    if draft.room_id is not None:
        seen["room_id"] = draft.room_id
    if draft.state_key is not None:
        seen["state_key"] = draft.state_key
    if draft.redacts is not None and not version.redacts_in_content:
        seen["redacts"] = draft.redacts
    return seen


def _content(version: RoomVersion, draft: EventDraft) -> dict[str, Any]:
    if draft.redacts is not None and version.redacts_in_content:
        return {**draft.content, "redacts": draft.redacts}
    return draft.content


def _redacted_event(
    version: RoomVersion, draft: EventDraft, content: dict[str, Any]
) -> EventId | None:
    if version.redacts_in_content:
        return redacts_of(version, {"type": draft.type, "content": content})
    return draft.redacts


def _redacted(
    version: RoomVersion, event_type: str, content: dict[str, Any], content_json: bytes
) -> bytes:
    """What redaction keeps of a content: all of most state events, else seldom any."""
    kept = redact_content(version, event_type, content)
    if kept == content:
        return content_json
    return encode_event_json(version, kept) if kept else b"{}"


def _choose_event_id(
    version: RoomVersion, pdu: dict[str, Any], sender: UserId
) -> EventId | None:
    """An ID for an event of a room version in which the sending server chooses it.

    A hash of the event: no two have the same previous events and everything else.
    """
    if version.event_ids is not EventIdFormat.DOMAIN:
        return None
    digest = sha256(_encode(pdu)).digest()
    return EventId(f"${encode_base64_urlsafe(digest)}:{server_of(sender)}")


def _signatures(
    sender: UserId, key: SigningKey, message: bytes
) -> dict[ServerName, dict[str, str]]:
    return {server_of(sender): {key.key_id: key.sign(message)}}


@lru_cache(_SERVERS_MAX)
def _added_bytes(server_name: ServerName, key_id: str) -> int:
    """What hashes and signatures, each as long as any, add to the size of an event."""
    signatures = {server_name: {key_id: LateKey(key_id).sign(b"")}}
    return _HASHES_BYTES + len(',"signatures":') + len(_encode(signatures))


def _encode(value: object) -> bytes:
    """Canonical JSON of what holds no content but what is encoded already."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise BadJson(f"the event cannot be encoded: {error}") from error
