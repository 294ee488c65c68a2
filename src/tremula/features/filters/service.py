"""Keeps the filters of clients and reads what they name or send."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tremula.features.filters import storage
from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.protocol.errors import InvalidParam, NotFound, TooLarge
from tremula.protocol.filters import Filter, RoomEventFilter
from tremula.protocol.identifiers import UserId
from tremula.protocol.json import parse_json

FILTERS_MAX: Final = 200
DEFINITION_BYTES_MAX: Final = 64 * 1024

_CACHE_BYTES: Final = 2 * 1024 * 1024
# A parsed filter weighs about this much a byte of its JSON, and so much at least.
_PARSED_FACTOR: Final = 4
_PARSED_BYTES: Final = 1_500


class Filters:
    """Stores filters by user; those used last are in memory, parsed."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self.cache: ByteLRU[tuple[str, str], Filter] = ByteLRU(_CACHE_BYTES)
        """An ID is made of its definition, so that no entry ever becomes wrong."""

    async def define(self, user_id: UserId, definition: Mapping[str, Any]) -> str:
        """Keep a filter and return its ID; an equal one keeps its ID.

        Of more than `FILTERS_MAX` filters of a user the oldest are dropped.

        Raises:
            BadJson: it is not a filter.
            TooLarge: it has more than 64 KiB.
        """
        Filter.parse(definition)
        encoded = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
        if len(encoded) > DEFINITION_BYTES_MAX:
            raise TooLarge(f"a filter has at most {DEFINITION_BYTES_MAX} bytes")
        filter_id = hashlib.sha256(encoded).hexdigest()[:24]
        unit = Statements()
        now_ms = self._clock.now_ms()
        storage.upsert_filter(unit, user_id, filter_id, encoded, ts_ms=now_ms)
        storage.delete_oldest_filters(unit, user_id, keep=FILTERS_MAX)
        await self._db.commit(unit)
        return filter_id

    async def definition(self, user_id: UserId, filter_id: str) -> bytes:
        """The JSON of a filter.

        Raises:
            NotFound: the user has no such filter.
        """
        found = await storage.find_definition(self._db, user_id, filter_id)
        if found is None:
            raise NotFound("there is no such filter")
        return found

    async def resolve(self, user_id: UserId, raw: str) -> Filter:
        """The filter that ``?filter=`` of CS ``sync`` names, or holds as JSON.

        Raises:
            NotJson, BadJson, TooLarge: it holds something else than a filter.
            InvalidParam: the user has no filter of this ID.
        """
        is_inline = raw.startswith("{")
        # What an inline filter means depends on nobody.
        key = ("", raw) if is_inline else (user_id, raw)
        found: Filter | None = self.cache.get(key)
        if found is not None:
            return found
        if is_inline:
            found, definition_bytes = Filter.parse(_parse_inline(raw)), len(raw)
        else:
            definition = await storage.find_definition(self._db, user_id, raw)
            if definition is None:
                raise InvalidParam("there is no such filter")
            found = Filter.parse(orjson.loads(definition))
            definition_bytes = len(definition)
        self.cache.put(key, found, _PARSED_BYTES + _PARSED_FACTOR * definition_bytes)
        return found

    async def erase(self, user_id: UserId) -> None:
        """Drop all filters of a user who is gone."""
        unit = Statements()
        storage.delete_filters(unit, user_id)
        await self._db.commit(unit)


def parse_room_event_filter(raw: str) -> RoomEventFilter:
    """The filter that ``?filter=`` of CS ``getRoomEvents`` and others holds as JSON.

    Raises:
        NotJson, BadJson, TooLarge: it holds something else.
    """
    return RoomEventFilter.parse(_parse_inline(raw))


def _parse_inline(raw: str) -> object:
    encoded = raw.encode()
    if len(encoded) > DEFINITION_BYTES_MAX:
        raise TooLarge(f"a filter has at most {DEFINITION_BYTES_MAX} bytes")
    return parse_json(encoded)
