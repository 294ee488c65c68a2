"""What is left of a redacted event (RVx "Redactions")."""

from collections.abc import Mapping
from typing import Any

import orjson

from tremula.protocol.json import encode_to_keep
from tremula.protocol.room_versions import RedactionRules, RoomVersion


def redact(version: RoomVersion, pdu: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of *pdu* with only what redaction keeps; what is kept is shared."""
    rules = version.redaction
    redacted = {key: value for key, value in pdu.items() if key in rules.top_level}
    content = redacted.get("content")
    if isinstance(content, dict):
        redacted["content"] = redact_content(version, pdu.get("type"), content)
    return redacted


def redact_client_event(version: RoomVersion, client_json: bytes) -> bytes:
    """As ``redact``, from and to the bytes of an event in client format."""
    return encode_to_keep(redact(version, orjson.loads(client_json)))


def redact_content(
    version: RoomVersion, event_type: object, content: dict[str, Any]
) -> dict[str, Any]:
    """The part of the *content* of an event of this type that redaction keeps."""
    rules = version.redaction
    if not isinstance(event_type, str) or event_type not in rules.content:
        return {}
    keys = rules.content[event_type]
    if keys is None:
        return content
    kept = {key: value for key, value in content.items() if key in keys}
    kept.update(_nested(rules, event_type, content))
    return kept


def _nested(
    rules: RedactionRules, event_type: str, content: dict[str, Any]
) -> dict[str, Any]:
    """Objects that stay, but only with some of their keys.

    RV11: "The ``third_party_invite`` key of m.room.member events is no longer
    redacted, but will only contain the ``signed`` key after redaction."
    """
    return {
        key: {name: value for name, value in content[key].items() if name in names}
        for key, names in rules.nested.get(event_type, {}).items()
        if isinstance(content.get(key), dict)
    }
