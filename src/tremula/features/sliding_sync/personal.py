"""What lists go by that is a user's own: which rooms are direct chats, and tags."""

from collections.abc import Hashable, Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.account_data.service import TOPIC, AccountData
from tremula.infra.cache import ByteLRU
from tremula.infra.journal import Journal
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import UserId

DIRECT: Final = "m.direct"
TAG: Final = "m.tag"

_CACHE_BYTES: Final = 8 * 1024 * 1024
_ENTRY_BYTES: Final = 100


class _Known(Struct):
    """What was read of a user, at the journal position ``pos``."""

    pos: int
    direct: frozenset[str] | None = None
    tags: Mapping[int, frozenset[str]] | None = None


class PersonalLists:
    """Remembers it until the user's account data changes."""

    def __init__(self, journal: Journal, data: AccountData) -> None:
        self._journal = journal
        self._data = data
        self.cache: ByteLRU[UserId, _Known] = ByteLRU(_CACHE_BYTES)
        """Of what active users have set."""
        journal.subscribe(TOPIC, self._forget)
        journal.on_forget(self.cache.clear)

    async def direct_rooms(self, user_id: UserId) -> frozenset[str]:
        """The IDs of the rooms that are direct chats (CS "Direct messaging")."""
        known = self._known(user_id)
        if known.direct is None:
            known.direct = _room_ids(await self._content(user_id))
            self._keep(user_id, known)
        return known.direct

    async def tags(self, user_id: UserId) -> Mapping[int, frozenset[str]]:
        """The tags of rooms by room nid (CS "Room tagging")."""
        known = self._known(user_id)
        if known.tags is None:
            contents = await self._data.of_type(user_id, TAG)
            known.tags = {nid: _tags(content) for nid, content in contents.items()}
            self._keep(user_id, known)
        return known.tags

    def _known(self, user_id: UserId) -> _Known:
        return self.cache.get(user_id) or _Known(self._changed_pos(user_id))

    def _keep(self, user_id: UserId, known: _Known) -> None:
        # What has changed while it was being read must not be kept.
        if self._changed_pos(user_id) == known.pos:
            entries = len(known.direct or ()) + len(known.tags or ())
            self.cache.put(user_id, known, _ENTRY_BYTES * (1 + entries))

    def _changed_pos(self, user_id: UserId) -> int:
        return self._journal.changed_pos(TOPIC, user_id)

    def _forget(self, _pos: int, user_id: Hashable, _payload: object) -> None:
        assert isinstance(user_id, str)
        self.cache.discard(UserId(user_id))

    async def _content(self, user_id: UserId) -> object:
        try:
            return orjson.loads(await self._data.get(user_id, DIRECT))
        except NotFound:
            return {}


def _room_ids(content: object) -> frozenset[str]:
    """What is not as the specification has it is left out: clients set it freely."""
    if not isinstance(content, dict):
        return frozenset()
    lists = [each for each in content.values() if isinstance(each, list)]
    return frozenset(r for rooms in lists for r in rooms if isinstance(r, str))


def _tags(content: Mapping[str, Any]) -> frozenset[str]:
    tags = content.get("tags")
    return frozenset(tags) if isinstance(tags, dict) else frozenset()
