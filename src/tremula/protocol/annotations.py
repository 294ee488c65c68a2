"""Annotations, such as reactions (CS "Event annotations and reactions")."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import orjson

from tremula.protocol.identifiers import UserId

_ANNOTATION: Final = "m.annotation"


def annotation_digest(
    event_type: str, sender: UserId, content: Mapping[str, Any]
) -> bytes | None:
    """What an annotation has in common with its duplicates; None for other events.

    "A second annotation for a given event with identical event `type` and annotation
    `key`" of the same sender has the same digest, any other event another one.
    """
    relation = content.get("m.relates_to")
    if not isinstance(relation, dict) or relation.get("rel_type") != _ANNOTATION:
        return None
    target, key = relation.get("event_id"), relation.get("key")
    if not isinstance(target, str) or not isinstance(key, str):
        return None
    # As JSON, so that no value can reach into the next one.
    return sha256(orjson.dumps([event_type, sender, target, key])).digest()
