"""Account data in `/sync`, global and of rooms."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import orjson
from msgspec import Struct

from tremula.features.account_data import storage
from tremula.features.account_data.service import (
    PUSH_RULES,
    TOPIC,
    AccountData,
)
from tremula.features.account_data.storage import GLOBAL, AccountDatum
from tremula.features.sync.parts import RoomRef, RoomSection, SyncContext
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.filters import RoomEventFilter

_ROOMS_PER_QUERY: Final = 500


class GlobalAccountDataPart(Struct, frozen=True):
    """The ``account_data`` of the answer."""

    db: Reader
    journal: Journal
    account_data: AccountData
    key: str = "account_data"
    topics: Collection[str] = (TOPIC,)

    async def user_section(self, ctx: SyncContext, since: int) -> bytes | None:
        """What the user has set; on an initial sync the push rules too."""
        events = await self.events(ctx, since)
        return b'{"events":[%b]}' % b",".join(events) if events else None

    async def events(self, ctx: SyncContext, since: int) -> Sequence[bytes]:
        """The same as single events."""
        if since:
            changes = await _changes(self.db, self.journal, ctx, since)
            data = [datum for datum in changes if datum.room_nid == GLOBAL]
        else:
            data = await storage.data_of_rooms(
                self.db, ctx.user_id, [GLOBAL], up_to=ctx.now
            )
        if await self._lacks_push_rules(ctx, since, data):
            rules = await self.account_data.get(ctx.user_id, PUSH_RULES)
            data.append(AccountDatum(GLOBAL, PUSH_RULES, rules))
        wanted = ctx.filter.account_data
        admitted = [datum for datum in data if wanted.admits_type(datum.type)]
        # The newest come last.
        return [d.to_json() for d in admitted[-(wanted.limit or len(admitted)) :]]

    async def _lacks_push_rules(
        self, ctx: SyncContext, since: int, data: Collection[AccountDatum]
    ) -> bool:
        """Whether they are to be shown and not in memory: no table of account data has
        them.
        """
        if not since:
            return True
        if self.journal.changed_pos(TOPIC, ctx.user_id) <= since:
            return False
        if any(datum.type == PUSH_RULES for datum in data):
            return False
        return since < await self.account_data.push_rules_pos(ctx.user_id) <= ctx.now


class RoomAccountDataPart(Struct, frozen=True):
    """The ``account_data`` of each room in the answer."""

    db: Reader
    journal: Journal
    section: RoomSection = RoomSection.ACCOUNT_DATA
    topics: Collection[str] = (TOPIC,)

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Rooms in which the user has set something, whatever their membership."""
        changes = await _changes(self.db, self.journal, ctx, since)
        return {datum.room_nid for datum in changes if datum.room_nid != GLOBAL}

    async def room_events(
        self, ctx: SyncContext, rooms: Sequence[RoomRef], since: int
    ) -> Mapping[int, Sequence[bytes]]:
        """What the user has set in *rooms*."""
        admits = ctx.filter.room.account_data
        nids = [room.nid for room in rooms if admits.rooms.admits(room.room_id)]
        found: dict[int, list[bytes]] = {}
        for datum in await self._data(ctx, nids, since):
            if _admits(admits, datum):
                found.setdefault(datum.room_nid, []).append(datum.to_json())
        if admits.limit is not None:
            return {nid: events[-admits.limit :] for nid, events in found.items()}
        return found

    async def _data(
        self, ctx: SyncContext, nids: Sequence[int], since: int
    ) -> Iterable[AccountDatum]:
        if since:
            wanted = set(nids)
            changes = await _changes(self.db, self.journal, ctx, since)
            return [datum for datum in changes if datum.room_nid in wanted]
        data: list[AccountDatum] = []
        for start in range(0, len(nids), _ROOMS_PER_QUERY):
            part = nids[start : start + _ROOMS_PER_QUERY]
            data += await storage.data_of_rooms(
                self.db, ctx.user_id, part, up_to=ctx.now
            )
        return data


async def _changes(
    db: Reader, journal: Journal, ctx: SyncContext, since: int
) -> Collection[AccountDatum]:
    """What the user has set since, the newest of each type; from memory if it can."""
    if journal.changed_pos(TOPIC, ctx.user_id) <= since:
        return ()
    tail = journal.tail(TOPIC, ctx.user_id, since)
    if tail is None:
        return await storage.data_after(db, ctx.user_id, after=since, up_to=ctx.now)
    newest: dict[tuple[int, str], AccountDatum] = {}
    for pos, datum in tail:
        assert isinstance(datum, AccountDatum)
        if pos <= ctx.now:
            key = (datum.room_nid, datum.type)
            # Taken out first, so that the order is that of the last changes.
            newest.pop(key, None)
            newest[key] = datum
    return newest.values()


def _admits(wanted: RoomEventFilter, datum: AccountDatum) -> bool:
    """Whether account data passes, which has no sender."""
    if not wanted.events.admits_type(datum.type):
        return False
    if wanted.contains_url is None:
        return True
    return ("url" in orjson.loads(datum.content)) is wanted.contains_url
