"""Content hashes, reference hashes and the event IDs made of them (SS "Signing
Events").
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tremula.protocol.base64 import encode_base64, encode_base64_urlsafe
from tremula.protocol.canonical import encode_canonical, encode_canonical_lenient
from tremula.protocol.identifiers import EventId, parse_event_id
from tremula.protocol.redaction import redact
from tremula.protocol.room_versions import EventIdFormat, RoomVersion

_NOT_CONTENT_HASHED = frozenset({"unsigned", "signatures", "hashes"})
_NOT_SIGNED = frozenset({"unsigned", "signatures"})


def content_hash(version: RoomVersion, pdu: Mapping[str, Any]) -> bytes:
    """SHA-256 over the whole event but ``unsigned``, ``signatures`` and ``hashes``.

    Raises:
        BadJson: *pdu* is not what the version takes for canonical JSON.
    """
    hashed = {k: v for k, v in pdu.items() if k not in _NOT_CONTENT_HASHED}
    return sha256(encode_event_json(version, hashed)).digest()


def reference_hash(version: RoomVersion, pdu: Mapping[str, Any]) -> bytes:
    """SHA-256 over what redaction keeps of an event that has its content hash.

    Raises:
        BadJson: *pdu* is not what the version takes for canonical JSON.
    """
    return sha256(signed_bytes(version, pdu)).digest()


def event_id_of(version: RoomVersion, pdu: Mapping[str, Any]) -> EventId:
    """The ID of a complete event: its reference hash, or in version 1 and 2 a key.

    Raises:
        BadJson: *pdu* is not what the version takes for canonical JSON.
        InvalidParam: its ``event_id`` is missing or malformed (version 1 and 2).
    """
    if version.event_ids is EventIdFormat.DOMAIN:
        return parse_event_id(pdu.get("event_id"))
    return event_id_from_hash(version, reference_hash(version, pdu))


def event_id_from_hash(version: RoomVersion, digest: bytes) -> EventId:
    """The event ID that a reference hash makes, from version 3 on."""
    if version.event_ids is EventIdFormat.BASE64:
        return EventId("$" + encode_base64(digest))
    return EventId("$" + encode_base64_urlsafe(digest))


def signed_bytes(version: RoomVersion, pdu: Mapping[str, Any]) -> bytes:
    """What signatures and the reference hash of an event cover.

    Raises:
        BadJson: *pdu* is not what the version takes for canonical JSON.
    """
    redacted = redact(version, pdu)
    signed = {k: v for k, v in redacted.items() if k not in _NOT_SIGNED}
    return encode_event_json(version, signed)


def encode_event_json(version: RoomVersion, value: object) -> bytes:
    """Canonical JSON, as strict as the room version is about it.

    Raises:
        BadJson: *value* cannot be encoded.
    """
    if version.strict_canonical_json:
        return encode_canonical(value)
    return encode_canonical_lenient(value)
