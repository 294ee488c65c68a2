"""The text of ``m.room.topic`` events."""

from collections.abc import Mapping
from typing import Any

_PLAIN = "text/plain"


def plain_text_topic(content: Mapping[str, Any]) -> str | None:
    """The topic in plain text, from ``m.topic`` or else ``topic``.

    Content that is not of the event's schema counts as absent.
    """
    block = content.get("m.topic")
    texts = block.get("m.text") if isinstance(block, dict) else None
    for text in texts if isinstance(texts, list) else ():
        # "mimetype" defaults to text/plain.
        if isinstance(text, dict) and text.get("mimetype", _PLAIN) == _PLAIN:
            body = text.get("body")
            if isinstance(body, str):
                return body
    topic = content.get("topic")
    return topic if isinstance(topic, str) else None
