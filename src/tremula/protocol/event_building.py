"""Building events of our own.

Their canonical JSON is put together by hand: each member is encoded once and goes, in
the order of the keys, into what is hashed, what is signed, and what is stored.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.protocol.base64 import encode_base64, encode_base64_urlsafe
from tremula.protocol.errors import BadJson
from tremula.protocol.event_format import check_size, redacts_of
from tremula.protocol.event_values import BuiltEvent, Event, EventDraft
from tremula.protocol.hashes import encode_event_json, event_id_from_hash
from tremula.protocol.identifiers import EventId, RoomId, UserId, server_of
from tremula.protocol.json import loads_exact
from tremula.protocol.redaction import redact_content
from tremula.protocol.room_versions import EventIdFormat, RoomVersion
from tremula.protocol.signing import LateKey, SigningKey

# {event ID: reference hash in unpadded Base64}
ReferenceHashes = Mapping[EventId, str]
_NO_HASHES: Final[ReferenceHashes] = MappingProxyType({})
# Of whom parts of the JSON are remembered.
_SENDERS_MAX: Final = 10_000
_ROOMS_MAX: Final = 2_000
_SENDERS_TO_TYPES_MAX: Final = 2_000


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
    kept_json = _redacted(version, draft.type, content, content_json)
    members = _Members(
        auth_events=b'{"auth_events":' + _links(version, auth_events, reference_hashes),
        content=b',"content":' + content_json,
        redacted_content=b',"content":' + kept_json,
        depth=b',"depth":%d' % depth,
        origin_server_ts=b',"origin_server_ts":%d' % draft.origin_server_ts,
        prev_events=b',"prev_events":' + _links(version, prev_events, reference_hashes),
        redacts=_redacts(version, draft),
        room_id=_room_id(draft.room_id),
        sender_to_type=_sender_to_type(draft.sender, draft.state_key, draft.type),
    )
    chosen_id = _choose_event_id(version, members, draft.sender)
    id_member = _optional(b"event_id", chosen_id)
    unhashed = members.pdu(event_id=id_member)
    hashes = b',"hashes":{"sha256":"%b"}' % _base64_of_hash(unhashed)
    signed = members.redacted_pdu(event_id=id_member, hashes=hashes)
    event_id = chosen_id or event_id_from_hash(version, sha256(signed).digest())
    signatures = _signatures(draft.sender, signing_key, signed)
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
    check_size(event, pdu_size_bytes=len(unhashed) + len(hashes) + len(signatures))
    if isinstance(signing_key, LateKey):
        signatures = b""
    server_json = members.server_json(hashes=hashes, signatures=signatures)
    return BuiltEvent(event, members.client_json(event), server_json)


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


class _Members(Struct, frozen=True):
    """The members of the event's JSON, each with the comma before it.

    The first has the opening brace instead, the last the closing one as well.
    """

    auth_events: bytes
    content: bytes
    redacted_content: bytes
    depth: bytes
    origin_server_ts: bytes
    prev_events: bytes
    redacts: bytes  # may be empty
    room_id: bytes  # may be empty
    sender_to_type: bytes

    def pdu(self, *, event_id: bytes) -> bytes:
        """What the content hash covers."""
        return b"".join(
            (
                self.auth_events,
                self.content,
                self.depth,
                event_id,
                self.origin_server_ts,
                self.prev_events,
                self.redacts,
                self.room_id,
                self.sender_to_type,
            )
        )

    def redacted_pdu(self, *, event_id: bytes, hashes: bytes) -> bytes:
        """What the signature and the reference hash cover."""
        return b"".join(
            (
                self.auth_events,
                self.redacted_content,
                self.depth,
                event_id,
                hashes,
                self.origin_server_ts,
                self.prev_events,
                self.room_id,
                self.sender_to_type,
            )
        )

    def client_json(self, event: Event) -> bytes:
        """The half that clients see."""
        return b"".join(
            (
                b"{",
                self.content[1:],
                _member(b"event_id", event.event_id),
                self.origin_server_ts,
                self.redacts,
                self.room_id or _member(b"room_id", event.room_id),
                self.sender_to_type,
            )
        )

    def server_json(self, *, hashes: bytes, signatures: bytes) -> bytes:
        """The half that only servers need."""
        return b"".join(
            (self.auth_events, self.depth, hashes, self.prev_events, signatures, b"}")
        )


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


def _links(
    version: RoomVersion, event_ids: Sequence[EventId], known_hashes: ReferenceHashes
) -> bytes:
    return _encode(event_links(version, event_ids, known_hashes))


def _redacts(version: RoomVersion, draft: EventDraft) -> bytes:
    return b"" if version.redacts_in_content else _optional(b"redacts", draft.redacts)


@lru_cache(_ROOMS_MAX)
def _room_id(room_id: RoomId | None) -> bytes:
    return _optional(b"room_id", room_id)


@lru_cache(_SENDERS_TO_TYPES_MAX)
def _sender_to_type(sender: UserId, state_key: str | None, event_type: str) -> bytes:
    return b"".join(
        (
            _member(b"sender", sender),
            _optional(b"state_key", state_key),
            _member(b"type", event_type),
            b"}",
        )
    )


def _choose_event_id(
    version: RoomVersion, members: _Members, sender: UserId
) -> EventId | None:
    """An ID for an event of a room version in which the sending server chooses it.

    A hash of the event: no two have the same previous events and everything else.
    """
    if version.event_ids is not EventIdFormat.DOMAIN:
        return None
    digest = sha256(members.pdu(event_id=b"")).digest()
    return EventId(f"${encode_base64_urlsafe(digest)}:{server_of(sender)}")


def _signatures(sender: UserId, key: SigningKey | LateKey, message: bytes) -> bytes:
    if isinstance(key, LateKey):
        return _late_signatures(sender, key)
    return _signatures_member(sender, key.key_id, key.sign(message))


@lru_cache(_SENDERS_MAX)
def _late_signatures(sender: UserId, key: LateKey) -> bytes:
    """What takes as much room as the signatures will."""
    return _signatures_member(sender, key.key_id, key.sign(b""))


def _signatures_member(sender: UserId, key_id: str, signature: str) -> bytes:
    by_server = {server_of(sender): {key_id: signature}}
    return b',"signatures":' + _encode(by_server)


def _base64_of_hash(message: bytes) -> bytes:
    return encode_base64(sha256(message).digest()).encode()


def _optional(key: bytes, value: str | None) -> bytes:
    return b"" if value is None else _member(key, value)


def _member(key: bytes, value: str) -> bytes:
    return b',"%b":%b' % (key, _encode(value))


def _encode(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise BadJson(f"the event cannot be encoded: {error}") from error
