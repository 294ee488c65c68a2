"""What a server that has just joined is told of the room (SS sendJoinV2)."""

import heapq
from collections.abc import Mapping
from typing import Final

import orjson
from msgspec import Struct

from tremula.features.federation_handshakes.told_state import ToldState
from tremula.protocol.identifiers import ServerName, UserId, server_of
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_state import StateKey, member_key
from tremula.rooms.past import RoomPast
from tremula.rooms.view import RoomView

_MEMBER: Final = "m.room.member"
# CS "sync", `m.heroes`.
_HEROES: Final = 5


class JoinAnswers(Struct, frozen=True):
    """Puts together the state of a room and its auth chain."""

    past: RoomPast
    told_state: ToldState

    async def of(
        self, view: RoomView, joined: ReceivedEvent, *, omit_members: bool
    ) -> bytes:
        """The answer to the join *joined*, which is stored, as JSON."""
        event = joined.event
        node = await self.past.find(view, event.event_id)
        assert node is not None, "it was accepted"
        state = await self.past.state_before(view, node)
        assert state is not None, "an accepted event has one"
        servers = _servers_before(view, event.sender)
        if omit_members:
            state = _without_members(view, state, event.sender)
        state_nids = list(state.values())
        chain = await self.past.auth_chain([*state_nids, node.nid])
        if omit_members:
            chain = chain.difference(state_nids)
        pdus, version = self.past.pdus, view.version
        members = [
            b'"state":[%b]' % b",".join(await pdus.of(version, state_nids)),
            b'"auth_chain":[%b]' % b",".join(await pdus.of(version, sorted(chain))),
            b'"event":' + (await pdus.of(version, [node.nid]))[0],
            b'"members_omitted":' + (b"true" if omit_members else b"false"),
        ]
        if omit_members:
            members.append(b'"servers_in_room":' + orjson.dumps(servers))
        return b"{" + b",".join(members) + b"}"


def _servers_before(view: RoomView, user_id: UserId) -> list[ServerName]:
    """The servers that were in the room before *user_id* joined."""
    joiner = server_of(user_id)
    others = [name for name in view.joined_servers if name != joiner]
    return others if view.joined_servers.get(joiner, 0) < 2 else [*others, joiner]


def _without_members(
    view: RoomView, state: Mapping[StateKey, int], user_id: UserId
) -> dict[StateKey, int]:
    """*state* with no members but those that an unnamed room is called after."""
    kept = {key: nid for key, nid in state.items() if key[0] != _MEMBER}
    if any(
        (event_type, "") in state
        for event_type in ("m.room.name", "m.room.canonical_alias")
    ):
        return kept
    for hero in _heroes(view, user_id):
        key = member_key(hero)
        if key in state:
            kept[key] = state[key]
    return kept


def _heroes(view: RoomView, user_id: UserId) -> list[UserId]:
    """The members who have been in the room for longest."""

    def room_pos(member: UserId) -> int:
        entry = view.state.get(member_key(member))
        return entry.room_pos if entry else 0

    present = [*view.members("join"), *view.members("invite")]
    return heapq.nsmallest(
        _HEROES, (each for each in present if each != user_id), key=room_pos
    )
