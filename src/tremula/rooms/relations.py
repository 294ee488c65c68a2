"""What is recorded of relations when an event comes into a timeline, or leaves it."""

from collections.abc import Mapping
from typing import Any, Final

from tremula.infra.journal import JournalUnit
from tremula.protocol.annotations import annotation_digest
from tremula.protocol.relations import (
    REFERENCE,
    REPLACE,
    THREAD,
    Relation,
    is_edit,
    relation_of,
)
from tremula.rooms import annotations_storage, relations_storage
from tremula.rooms.events import StoredEvent

TOPIC: Final = "relation"
"""Announced by room nid with the ID of the parent, of relations that are aggregated."""

_AGGREGATED: Final = (REPLACE, REFERENCE, THREAD)
_RELATION_BYTES: Final = 160


def record_relation(
    unit: JournalUnit, stored: StoredEvent, content: Mapping[str, Any]
) -> None:
    """Record that *stored*, which comes into its room's timeline with this *content*,
    relates to another event, if it does.
    """
    relation = _relation(stored, content)
    if relation is None or stored.redacted_by_nid is not None:
        return
    room_nid, parent_id = stored.room_nid, relation.event_id
    relations_storage.insert_relation(
        unit,
        room_nid,
        relation,
        room_pos=stored.room_pos,
        event_nid=stored.event_nid,
    )
    if relation.rel_type == THREAD:
        relations_storage.upsert_participant(
            unit, room_nid, parent_id, stored.sender, room_pos=stored.room_pos
        )
    digest = annotation_digest(stored.type, stored.sender, content)
    if digest is not None:
        annotations_storage.insert_annotation(
            unit, room_nid, digest, event_nid=stored.event_nid
        )
    if relation.rel_type in _AGGREGATED:
        unit.announce(
            TOPIC,
            room_nid,
            parent_id,
            pos=stored.placed_pos,
            size_bytes=_RELATION_BYTES,
        )


def forget_relation(unit: JournalUnit, stored: StoredEvent) -> None:
    """Forget the relation of *stored*, which is being redacted, or taken out of its
    room's timeline.
    """
    relation = _relation(stored, stored.content)
    if relation is None or not stored.is_in_timeline:
        return
    relations_storage.delete_relation(
        unit, stored.room_nid, relation, room_pos=stored.room_pos
    )
    if relation.rel_type == THREAD:
        relations_storage.recount_participant(
            unit, stored.room_nid, relation.event_id, stored.sender
        )
    digest = annotation_digest(stored.type, stored.sender, stored.content)
    if digest is not None:
        annotations_storage.delete_annotation(
            unit, stored.room_nid, digest, event_nid=stored.event_nid
        )


def _relation(stored: StoredEvent, content: Mapping[str, Any]) -> Relation | None:
    relation = relation_of(content)
    if relation is None:
        return None
    if relation.rel_type == REPLACE and not is_edit(
        stored.type, stored.state_key, content
    ):
        return None
    return relation
