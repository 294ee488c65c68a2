"""Marks invitations to rooms that this server is not in."""

from typing import Final

from msgspec import Struct, field

from tremula.features.push import storage
from tremula.features.push.marks import TOPIC, EventMarks, Mark
from tremula.features.push.room_rulesets import Rulesets
from tremula.features.push.service import PushRules
from tremula.infra.journal import JournalUnit
from tremula.protocol.event_values import Event
from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.push_conditions import PushEvent, Reader
from tremula.protocol.push_evaluation import Outcome
from tremula.protocol.push_rules import OwnRules
from tremula.rooms.outside import NO_POS, OutsideMembership
from tremula.rooms.threads import MAIN

# The inviter is the only member who is known of.
_MEMBERS_KNOWN: Final = 1
_LEVELS_KNOWN: Final = PowerLevels({}, {}, {})
_MARK_BYTES: Final = 400


class InvitationMarker(Struct, frozen=True):
    """Implements ``OutsideMarker``. The mark is for the user alone, at `NO_POS`."""

    rules: PushRules
    _rulesets: Rulesets = field(default_factory=Rulesets)

    async def prepare(self, outside: OutsideMembership) -> None:
        """See ``OutsideMarker``."""
        await self.rules.of(outside.user_id)

    def mark(
        self, unit: JournalUnit, outside: OutsideMembership, *, room_nid: int, pos: int
    ) -> None:
        """See ``OutsideMarker``."""
        storage.delete_mark(unit, room_nid, outside.user_id, NO_POS)
        if outside.membership != "invite":
            return
        outcome = self._outcome(outside)
        if not outcome.notifies:
            return
        mark = Mark(1, int(outcome.highlights), outcome.actions)
        marked = EventMarks(
            event_nid=pos,
            room_nid=room_nid,
            room_pos=NO_POS,
            pos=pos,
            thread=MAIN,
            sender=outside.sender,
            marks={outside.user_id: mark},
        )
        storage.insert_marks(unit, marked)
        unit.announce(TOPIC, room_nid, marked, pos=pos, size_bytes=_MARK_BYTES)

    def _outcome(self, outside: OutsideMembership) -> Outcome:
        known = self.rules.cache.get(outside.user_id)
        rules = OwnRules() if known is None else known.rules
        event = PushEvent(
            _event_of(outside),
            member_count=_MEMBERS_KNOWN,
            power_levels=_LEVELS_KNOWN,
        )
        ruleset = self._rulesets.of(rules, outside.room_id)
        return ruleset.evaluate(event, Reader(is_state_key=True))


def _event_of(outside: OutsideMembership) -> Event:
    event = outside.event
    return Event(
        event_id=outside.event_id,
        room_id=outside.room_id,
        type=event["type"],
        sender=outside.sender,
        state_key=outside.user_id,
        content=event["content"],
        origin_server_ts=event["origin_server_ts"],
        depth=outside.depth,
        prev_events=(),
        auth_events=(),
        redacts=None,
    )
