"""A large room that a server written by hand tells others of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from bench.federation.signed_room import JOIN, Pdu, SignedEvent, SignedRoom
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.signing import SigningKey, countersign_event

NAME: Final = "Large"
# How many of the founding events are in auth chains.
_AUTH_EVENTS: Final = 4


@dataclass(frozen=True, slots=True)
class LargeRoom:
    """A public room of users of *server_name*: its state is that before ``greeting``.

    That is always the newest event which others are told of, so that every state that
    they may ask for is the same.
    """

    server_name: ServerName
    room: SignedRoom
    founding: list[SignedEvent]
    joins: list[SignedEvent]
    greeting: SignedEvent

    @property
    def room_id(self) -> RoomId:
        """The ID of the room."""
        return self.room.room_id

    @property
    def members(self) -> set[str]:
        """Who is joined."""
        return {
            state_key
            for event_type, state_key in self.room.state
            if event_type == "m.room.member"
        }

    def template(self, user_id: str) -> bytes:
        """The answer to SS ``makeJoin``."""
        template = self.room.join_template(user_id)
        body = {"room_version": self.room.version.id, "event": template}
        return orjson.dumps(body)

    def take_in(self, join: Pdu, *, omit_members: bool) -> bytes:
        """The answer to SS ``sendJoinV2``. Nobody else is told of the join."""
        key, version = self.room.key, self.room.version
        signed = countersign_event(version, join, self.server_name, key)
        state = [*self.founding, *self.joins]
        if omit_members:
            state = [e for e in self.founding if e.pdu["type"] != "m.room.member"]
        return _with_events(
            {
                "event": signed,
                "members_omitted": omit_members,
                "servers_in_room": [self.server_name],
            },
            state=state,
            auth_chain=self._auth_chain,
        )

    def state(self) -> bytes:
        """The answer to SS ``getRoomState``."""
        pdus = [*self.founding, *self.joins]
        return _with_events({}, pdus=pdus, auth_chain=self._auth_chain)

    def state_ids(self) -> bytes:
        """The answer to SS ``getRoomStateIds``."""
        body = {
            "pdu_ids": [each.event_id for each in (*self.founding, *self.joins)],
            "auth_chain_ids": [each.event_id for each in self._auth_chain],
        }
        return orjson.dumps(body)

    def event(self, event_id: EventId) -> bytes | None:
        """The answer to SS ``getEvent``; None for an event that is not here."""
        for each in (self.greeting, *self.founding, *self.joins):
            if each.event_id == event_id:
                body = {"origin": self.server_name, "origin_server_ts": 0}
                return _with_events(body, pdus=[each])
        return None

    @property
    def _auth_chain(self) -> list[SignedEvent]:
        return self.founding[:_AUTH_EVENTS]


def large_room(
    room_id: RoomId, server_name: ServerName, key: SigningKey, *, members: int
) -> LargeRoom:
    """A new room of *members* users."""
    room, owner = SignedRoom(room_id, key), f"@owner:{server_name}"
    create = {"room_version": room.version.id}
    founding = [
        room.add(owner, "m.room.create", create, ""),
        room.add(owner, "m.room.member", JOIN, owner),
        room.add(owner, "m.room.power_levels", {"users": {owner: 100}}, ""),
        room.add(owner, "m.room.join_rules", {"join_rule": "public"}, ""),
        room.add(owner, "m.room.name", {"name": NAME}, ""),
    ]
    joins = [room.join(f"@m{n}:{server_name}") for n in range(1, members)]
    greeting = room.message(owner, "Welcome, all of you.")
    return LargeRoom(server_name, room, founding, joins, greeting)


def _with_events(body: Mapping[str, object], **events: Iterable[SignedEvent]) -> bytes:
    """*body* with lists of events as further members."""
    pdus = {name: [each.pdu for each in listed] for name, listed in events.items()}
    return orjson.dumps({**body, **pdus})
