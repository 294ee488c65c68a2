"""What of an event can be found, and the terms that the index has of it.

An edit is a document of its own: who may not see it finds the older text, who may finds
the newer one (`features/search/judging.py`).
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.protocol.identifiers import EventId
from tremula.protocol.relations import REPLACE, relation_of
from tremula.protocol.search_text import index_terms
from tremula.protocol.topics import plain_text_topic
from tremula.rooms.events import StoredEvent

MESSAGE: Final = "m.room.message"
REDACTION: Final = "m.room.redaction"

VERSION: Final = 1
"""Of the terms: with another one the whole index is made anew."""


class Key(StrEnum):
    """What is searched in."""

    BODY = "content.body"
    NAME = "content.name"
    TOPIC = "content.topic"


_KEYS: Final[Mapping[str, Key]] = {
    MESSAGE: Key.BODY,
    "m.room.name": Key.NAME,
    "m.room.topic": Key.TOPIC,
}
TYPES: Final = (*_KEYS, REDACTION)
"""The types of events that the index is made of."""

# No word has them: they are for private use.
_ROOM: Final = "\ue000"
_KEY: Final = "\ue001"
_SENDER: Final = "\ue002"
_REPLACED: Final = "\ue003"
_HASH_BYTES: Final = 6
_SENDERS_MAX: Final = 1_000
_LIVE_MIN: Final = 1


class Document(Struct, frozen=True):
    """A text that can be found; ``replaces`` names the event whose text it is now."""

    key: Key
    text: str
    replaces: EventId | None = None


def document_of(event: StoredEvent) -> Document | None:
    """What of *event* can be found, if anything.

    Encrypted and redacted events have no text.
    """
    key = _KEYS.get(event.type)
    if key is None or event.is_state is (key is Key.BODY):
        return None
    if key is Key.BODY:
        return _message(event.content)
    if event.state_key:
        return None
    text = _topic(event.content) if key is Key.TOPIC else event.content.get("name")
    return Document(key, text) if isinstance(text, str) else None


def _message(content: Mapping[str, Any]) -> Document | None:
    replaces: EventId | None = None
    new_content: object = content
    relation = relation_of(content)
    if relation is not None and relation.rel_type == REPLACE:
        replaces, new_content = relation.event_id, content.get("m.new_content")
    body = new_content.get("body") if isinstance(new_content, dict) else None
    return Document(Key.BODY, body, replaces) if isinstance(body, str) else None


def _topic(content: Mapping[str, Any]) -> str | None:
    """CS "Server Side Search": "content.topic as well as the body of the text/plain
    representation".
    """
    texts = (content.get("topic"), plain_text_topic(content))
    strings = [text for text in texts if isinstance(text, str)]
    return "\n".join(dict.fromkeys(strings)) or None


def redacted_ids(event: StoredEvent) -> set[EventId]:
    """What a redaction may have redacted: room versions name it in different places."""
    top_level = orjson.loads(event.client_json).get("redacts")
    return {
        EventId(name)
        for name in (top_level, event.content.get("redacts"))
        if isinstance(name, str) and "\0" not in name
    }


def document_id(event: StoredEvent) -> int:
    """The place of an event in the order of documents.

    Events of the past, which come last, are before all others: those that came first
    are the newest of them.
    """
    is_live = event.room_pos >= _LIVE_MIN and event.journal_pos >= event.event_nid
    return event.event_nid if is_live else -event.event_nid


def terms_of(event: StoredEvent, document: Document) -> set[str]:
    """All that the index has of a document."""
    terms = index_terms(document.text)
    terms |= {
        room_term(event.room_nid),
        key_term(document.key),
        sender_term(event.sender),
    }
    if document.replaces is not None:
        terms.add(replaced_term(document.replaces))
    return terms


def room_term(room_nid: int) -> str:
    """What the documents of a room have in common."""
    return f"{_ROOM}{room_nid}"


def key_term(key: Key) -> str:
    """What the documents of a kind have in common."""
    return f"{_KEY}{key.name.lower()[0]}"


@lru_cache(_SENDERS_MAX)
def sender_term(sender: str) -> str:
    """What the documents of a sender have in common, and hardly any others."""
    return _SENDER + _hash(sender)


def replaced_term(event_id: EventId) -> str:
    """What the edits of an event have in common, and hardly any others."""
    return _REPLACED + _hash(event_id)


def _hash(text: str) -> str:
    return hashlib.blake2s(text.encode(), digest_size=_HASH_BYTES).hexdigest()
