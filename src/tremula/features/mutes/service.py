"""Rooms that bridges mute for users: ``com.beeper.mute`` in a room's account data.

A mute is kept as the push rule by which clients mute a room, so that all of them show
it. One that ends is noted beside it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.features.account_data.service import AccountData
from tremula.features.mutes import storage
from tremula.features.push.service import PushRules
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.infra.slots import Slots
from tremula.protocol.canonical import INTEGER_MAX
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.push_rule_values import Rule, RuleKind
from tremula.rooms.reader import RoomReader

MUTE: Final = "com.beeper.mute"

_FOR_EVER: Final = -1
_ENDED_AT_ONCE: Final = 500
_LOOKS_EVERY_S: Final = 15.0


class Mutes(Struct, frozen=True):
    """Has push rules follow what is set."""

    db: Database
    reader: RoomReader
    account_data: AccountData
    push_rules: PushRules
    slots: Slots
    clock: Clock

    async def follow(self, user_id: UserId, room_id: RoomId) -> None:
        """Mute a room, or do so no more, as the account data says.

        Safe to repeat. What is set meanwhile, by whichever process, is followed by
        whoever comes second.
        """
        view = await self.reader.find_room(room_id)
        if view is None:
            await self._forget_end(user_id, room_id)
            return
        seen = await self.account_data.find_seen(user_id, view.nid, MUTE)
        while True:
            content = seen.parsed() if seen else {}
            await self._apply(user_id, room_id, _until_ts_ms(content))
            followed = seen
            seen = await self.account_data.find_seen(user_id, view.nid, MUTE)
            if seen == followed:
                return

    async def run(self) -> None:
        """End mutes for ever; meant for the supervisor."""
        while True:
            while await self.end_some():
                pass
            await asyncio.sleep(_LOOKS_EVERY_S)

    async def end_some(self) -> bool:
        """End what is to end by now, of users whose slots are held here; whether there
        was any.
        """
        ended = await storage.mutes_ended(
            self.db, now_ms=self.clock.now_ms(), limit=_ENDED_AT_ONCE
        )
        ours = [each for each in ended if self.slots.holds(each[0])]
        for user_id, room_id in ours:
            await self.follow(user_id, room_id)
        return bool(ours)

    async def _apply(self, user_id: UserId, room_id: RoomId, until_ts_ms: int) -> None:
        if until_ts_ms == _FOR_EVER:
            await self._mute(user_id, room_id)
            await self._forget_end(user_id, room_id)
        elif until_ts_ms > self.clock.now_ms():
            # First of all its end, so that no crash makes it last.
            unit = Statements()
            storage.upsert_mute(unit, user_id, room_id, until_ts_ms=until_ts_ms)
            await self.db.commit(unit)
            await self._mute(user_id, room_id)
        else:
            await self._unmute(user_id, room_id)
            await self._forget_end(user_id, room_id)

    async def _mute(self, user_id: UserId, room_id: RoomId) -> None:
        condition = {"kind": "event_match", "key": "room_id", "pattern": room_id}
        rule = Rule(rule_id=room_id, actions=(), conditions=(condition,))
        await self.push_rules.set_rule(
            user_id, RuleKind.OVERRIDE, rule, before=None, after=None
        )

    async def _unmute(self, user_id: UserId, room_id: RoomId) -> None:
        try:
            await self.push_rules.delete_rule(user_id, RuleKind.OVERRIDE, room_id)
        except NotFound:
            # It was not muted.
            return

    async def _forget_end(self, user_id: UserId, room_id: RoomId) -> None:
        unit = Statements()
        storage.delete_mute(unit, user_id, room_id)
        await self.db.commit(unit)


def _until_ts_ms(content: Mapping[str, Any]) -> int:
    """When the mute ends: -1 never, 0 it is none. What is malformed is none."""
    until = content.get("muted_until")
    if type(until) is not int or not _FOR_EVER <= until <= INTEGER_MAX:
        return 0
    return until
