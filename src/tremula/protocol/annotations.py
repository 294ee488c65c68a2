"""Annotations, such as reactions (CS "Event annotations and reactions")."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from tremula.protocol.identifiers import UserId
from tremula.protocol.relations import ANNOTATION, relation_of


def annotation_digest(
    event_type: str, sender: UserId, content: Mapping[str, Any]
) -> bytes | None:
    """What an annotation has in common with its duplicates; None for other events.

    "A second annotation for a given event with identical event `type` and annotation
    `key`" of the same sender has the same digest, any other event another one.
    """
    relation = relation_of(content)
    if relation is None or relation.rel_type != ANNOTATION:
        return None
    key = content["m.relates_to"].get("key")
    if not isinstance(key, str):
        return None
    # As JSON, so that no value can reach into the next one.
    parts = [event_type, sender, relation.event_id, key]
    return sha256(orjson.dumps(parts)).digest()
