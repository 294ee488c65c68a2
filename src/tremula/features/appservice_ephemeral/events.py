"""The events that tell of typing, receipts and presence, with their ``room_id``."""

from collections.abc import Sequence
from typing import Any

import orjson
from msgspec import Struct

from tremula.features.appservice_ephemeral.buffer import (
    EventNews,
    News,
    PresenceNews,
    ReceiptNews,
    TypingNews,
)
from tremula.features.ephemeral_events.service import EphemeralEvents
from tremula.features.presence.service import Presence
from tremula.features.receipts.service import receipt_contents
from tremula.features.typing.service import Typing
from tremula.protocol.identifiers import RoomId


class EphemeralData(Struct, frozen=True):
    """Makes events of news, by what is so when they are told."""

    typing: Typing
    presence: Presence
    ephemeral: EphemeralEvents

    async def of(self, news: Sequence[News]) -> list[dict[str, Any]]:
        """The events, all of one kind and room together."""
        return [
            *self._typing(news),
            *_receipts(news),
            *await self._presence(news),
            *self._events(news),
        ]

    def _events(self, news: Sequence[News]) -> list[dict[str, Any]]:
        """Without those whose two minutes are over."""
        found = [
            self.ephemeral.find(each.room_nid, each.event_id)
            for each in news
            if isinstance(each, EventNews)
        ]
        return [orjson.loads(event.event_json) for event in found if event is not None]

    def _typing(self, news: Sequence[News]) -> list[dict[str, Any]]:
        found = []
        for each in news:
            if isinstance(each, TypingNews):
                users = self.typing.of_room(each.room_nid)
                content = {"user_ids": list(users.user_ids) if users else []}
                found.append(_event("m.typing", content, room_id=each.room_id))
        return found

    async def _presence(self, news: Sequence[News]) -> list[dict[str, Any]]:
        user_ids = [each.user_id for each in news if isinstance(each, PresenceNews)]
        if not user_ids or not self.presence.enabled:
            return []
        contents = await self.presence.contents(user_ids)
        return [
            _event("m.presence", contents[user_id], sender=user_id)
            for user_id in user_ids
        ]


def _receipts(news: Sequence[News]) -> list[dict[str, Any]]:
    by_room: dict[RoomId, list[ReceiptNews]] = {}
    for each in news:
        if isinstance(each, ReceiptNews):
            by_room.setdefault(each.room_id, []).append(each)
    return [
        _event("m.receipt", content, room_id=room_id)
        for room_id, read in by_room.items()
        for content in receipt_contents(each.stored for each in read)
    ]


def _event(event_type: str, content: object, **keys: str) -> dict[str, Any]:
    return {"type": event_type, **keys, "content": content}
