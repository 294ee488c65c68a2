"""Rooms as a server knows them that signs events for them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.event_building import event_links
from tremula.protocol.events import EventDraft, build_event, pdu_json
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from tremula.protocol.signing import SigningKey

# One that Synapse and Tremula both know well, and whose IDs are chosen by servers.
VERSION: Final = ROOM_VERSIONS["11"]
JOIN: Final[Mapping[str, Any]] = {"membership": "join"}

Pdu = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """An event as it travels."""

    event_id: EventId
    pdu: Pdu

    @property
    def json(self) -> bytes:
        """The bytes on the wire."""
        return orjson.dumps(self.pdu)


@dataclass(slots=True)
class SignedRoom:
    """A room, as far as it takes to sign its next event.

    ``heads`` are what that names as previous events, ``depth`` is the deepest of them.
    """

    room_id: RoomId
    key: SigningKey
    state: dict[StateKey, EventId] = field(default_factory=dict[StateKey, EventId])
    heads: tuple[EventId, ...] = ()
    depth: int = 0
    version: RoomVersion = VERSION

    def add(
        self,
        sender: str,
        event_type: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
    ) -> SignedEvent:
        """Sign the next event."""
        draft = EventDraft(
            room_id=self.room_id,
            type=event_type,
            sender=UserId(sender),
            state_key=state_key,
            content=dict(content),
            origin_server_ts=time.time_ns() // 1_000_000,
        )
        built = build_event(
            self.version,
            draft,
            prev_events=self.heads,
            auth_events=self._auth_events(event_type, sender, content, state_key),
            depth=self.depth + 1,
            signing_key=self.key,
        )
        event_id = built.event.event_id
        self.heads, self.depth = (event_id,), self.depth + 1
        if state_key is not None:
            self.state[event_type, state_key] = event_id
        pdu = pdu_json(self.version, built.client_json, built.server_json)
        return SignedEvent(event_id, pdu)

    def message(self, sender: str, text: str) -> SignedEvent:
        """Sign a text message."""
        return self.add(sender, "m.room.message", {"msgtype": "m.text", "body": text})

    def join(self, user_id: str) -> SignedEvent:
        """Sign the join of a user of the server whose key it is."""
        return self.add(user_id, "m.room.member", JOIN, user_id)

    def fork(self) -> "SignedRoom":
        """The room as another server may see it, which goes on by itself."""
        return SignedRoom(
            self.room_id, self.key, dict(self.state), self.heads, self.depth
        )

    def merge(self, fork: "SignedRoom", base: Mapping[StateKey, EventId]) -> None:
        """Let the next event follow both, with what *fork* has changed of *base*."""
        self.heads += fork.heads
        self.depth = max(self.depth, fork.depth)
        self.state |= dict(fork.state.items() - base.items())

    def join_template(self, user_id: str) -> Pdu:
        """The join of a user of another server, to be signed by that."""
        auth_events = self._auth_events("m.room.member", user_id, JOIN, user_id)
        return {
            "type": "m.room.member",
            "room_id": self.room_id,
            "sender": user_id,
            "state_key": user_id,
            "content": JOIN,
            "depth": self.depth + 1,
            "prev_events": event_links(self.version, self.heads),
            "auth_events": event_links(self.version, auth_events),
            "origin_server_ts": time.time_ns() // 1_000_000,
        }

    def _auth_events(
        self,
        event_type: str,
        sender: str,
        content: Mapping[str, Any],
        state_key: str | None,
    ) -> list[EventId]:
        keys = auth_event_keys(self.version, event_type, state_key, sender, content)
        return [self.state[key] for key in keys if key in self.state]
