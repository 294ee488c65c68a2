"""What is shown with a result: the events around it, profiles, the room's state."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.search.judging import Hit
from tremula.features.search.request import ContextWanted
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.serialize import Audience, Serializer
from tremula.rooms.state import MEMBER
from tremula.rooms.tokens import format_place

_STATE_EVENTS_MAX: Final = 10_000


class Surroundings(Struct, frozen=True):
    """Shows hits as clients see them."""

    reader: RoomReader
    events: EventStore
    serializer: Serializer

    async def event(self, hit: Hit, device_id: str | None) -> bytes:
        """The event that was found."""
        [event] = await self._shown(hit, [hit.event], device_id)
        return event

    async def context(
        self,
        hit: Hit,
        device_id: str | None,
        wanted: ContextWanted,
        ignored: Collection[UserId],
    ) -> dict[str, Any]:
        """The events around it: ``events_before`` is newest first."""
        room_nid, pos = hit.event.room_nid, hit.event.room_pos
        up_to = hit.room.access.up_to
        earlier = await self.events.backwards(room_nid, before=pos, limit=wanted.before)
        later = await self.events.forwards(
            room_nid, after=pos, before=up_to + 1, limit=wanted.after
        )
        before, after = (
            [each for each in events if _is_shown(hit, each, ignored)]
            for events in (earlier, later)
        )
        context: dict[str, Any] = {
            "start": format_place((earlier[-1].room_pos if earlier else pos) - 1),
            "end": format_place(later[-1].room_pos if later else pos),
            "events_before": _fragments(await self._shown(hit, before, device_id)),
            "events_after": _fragments(await self._shown(hit, after, device_id)),
        }
        if wanted.with_profiles:
            senders = {event.sender for event in (hit.event, *before, *after)}
            context["profile_info"] = await self._profiles(hit, list(senders))
        return context

    async def states(
        self, hits: Sequence[Hit], device_id: str | None, *, lazily: bool
    ) -> dict[RoomId, list[orjson.Fragment]]:
        """The state of each room of *hits*, as the user may read it.

        Of members, only the senders of *hits*, if that is all that is wanted or where
        it would be too much altogether.
        """
        senders = {hit.event.sender for hit in hits}
        states: dict[RoomId, list[orjson.Fragment]] = {}
        left = _STATE_EVENTS_MAX
        for hit in {each.event.room_nid: each for each in hits}.values():
            access = hit.room.access
            nids = await self.reader.state_at(access.view, access.up_to)
            if lazily or len(nids) > left:
                nids = {
                    key: nid
                    for key, nid in nids.items()
                    if key[0] != MEMBER or key[1] in senders
                }
            left -= len(nids)
            found = await self.events.by_nids(nids.values())
            state = await self._shown(hit, list(found.values()), device_id)
            states[access.view.room_id] = _fragments(state)
        return states

    async def _shown(
        self, hit: Hit, events: Sequence[StoredEvent], device_id: str | None
    ) -> list[bytes]:
        audience = Audience(hit.room.viewer, device_id)
        return await self.serializer.client_events(
            hit.room.access.view, events, audience
        )

    async def _profiles(
        self, hit: Hit, senders: Sequence[UserId]
    ) -> Mapping[str, Mapping[str, str]]:
        view = hit.room.access.view
        nids = await self.reader.members_at(view, senders, room_pos=hit.event.room_pos)
        found = await self.events.by_nids(nids.values())
        return {
            user_id: _profile(found[nid].content)
            for user_id, nid in nids.items()
            if nid in found
        }


def _profile(content: Mapping[str, Any]) -> dict[str, str]:
    fields = ("displayname", "avatar_url")
    return {
        name: value for name in fields if isinstance(value := content.get(name), str)
    }


def _is_shown(hit: Hit, event: StoredEvent, ignored: Collection[UserId]) -> bool:
    return hit.room.shows(event) and (event.is_state or event.sender not in ignored)


def _fragments(events: Sequence[bytes]) -> list[orjson.Fragment]:
    return [orjson.Fragment(event) for event in events]
