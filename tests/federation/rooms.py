"""Rooms of a server under test, with users of a server that is written by hand."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import quote

from tests.federation.network import PATIENCE_S, Letter
from tests.federation.remote import Remote
from tests.http_client import HttpResponse
from tests.server import Server
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.events import BuiltEvent, EventDraft, build_event, pdu_json
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_versions import RoomVersion, get_room_version

_txn_ids = count()
_clock = count(1_782_000_000_000, 1000)


@dataclass(frozen=True, slots=True)
class RemoteRoom:
    """A room of *server* in which users of *remote* send events."""

    server: Server
    remote: Remote
    room_id: RoomId

    async def version(self) -> RoomVersion:
        row = await self.server.db.first(
            "SELECT room_version FROM rooms_rooms WHERE room_id = :room_id",
            room_id=self.room_id,
        )
        assert row is not None
        return get_room_version(row[0])

    async def build(
        self,
        sender: str,
        event_type: str,
        content: dict[str, Any],
        *,
        state_key: str | None = None,
        after: BuiltEvent | None = None,
    ) -> BuiltEvent:
        """A signed event that follows what the server has, or *after*."""
        version = await self.version()
        head = await self.server.db.first(
            """
            SELECT e.event_id, e.depth
            FROM rooms_events e JOIN rooms_rooms r ON r.room_nid = e.room_nid
            WHERE r.room_id = :room_id AND e.room_pos IS NOT NULL
            ORDER BY e.room_pos DESC LIMIT 1
            """,
            room_id=self.room_id,
        )
        assert head is not None
        prev_id, depth = head
        if after is not None:
            prev_id, depth = after.event.event_id, after.event.depth
        user_id = UserId(sender)
        draft = EventDraft(
            self.room_id, event_type, user_id, state_key, content, next(_clock)
        )
        keys = auth_event_keys(version, event_type, state_key, user_id, content)
        return build_event(
            version,
            draft,
            prev_events=[EventId(prev_id)],
            auth_events=await self._ids(keys),
            depth=depth + 1,
            signing_key=self.remote.key,
        )

    async def pdu(self, built: BuiltEvent) -> dict[str, Any]:
        version = await self.version()
        return pdu_json(version, built.client_json, built.server_json)

    async def send(self, *events: BuiltEvent) -> HttpResponse:
        """Send events in one transaction."""
        return await send(
            self.server, self.remote, [await self.pdu(each) for each in events]
        )

    async def join(self, user_id: str) -> EventId:
        """Let a user of *remote* join; the room must be public."""
        return await self.accepted(
            user_id, "m.room.member", {"membership": "join"}, state_key=user_id
        )

    async def accepted(
        self,
        sender: str,
        event_type: str,
        content: dict[str, Any],
        *,
        state_key: str | None = None,
    ) -> EventId:
        """Send one event, which must be accepted; its ID."""
        built = await self.build(sender, event_type, content, state_key=state_key)
        event_id = built.event.event_id
        response = await self.send(built)
        assert response.json == {"pdus": {event_id: {}}}
        return event_id

    async def _ids(self, keys: Sequence[tuple[str, str]]) -> list[EventId]:
        rows = await self.server.db.all(
            """
            SELECT s.type, s.state_key, s.event_id
            FROM rooms_current_state s JOIN rooms_rooms r ON r.room_nid = s.room_nid
            WHERE r.room_id = :room_id
            """,
            room_id=self.room_id,
        )
        state = {(type_, key): EventId(event_id) for type_, key, event_id in rows}
        return [state[key] for key in keys if key in state]


async def send(
    server: Server,
    remote: Remote,
    pdus: Sequence[object] = (),
    edus: Sequence[object] = (),
    *,
    txn_id: str | None = None,
) -> HttpResponse:
    """Send a transaction, with an ID of its own unless it is given."""
    txn = f"t{next(_txn_ids)}" if txn_id is None else txn_id
    content = {
        "origin": remote.name,
        "origin_server_ts": next(_clock),
        "pdus": list(pdus),
        "edus": list(edus),
    }
    return await remote.ask(
        server, f"/v1/send/{quote(txn, safe='')}", method="PUT", content=content
    )


async def send_edu(
    server: Server, remote: Remote, edu_type: str, content: object
) -> None:
    """Send one EDU; what becomes of it, nobody is told."""
    edu = {"edu_type": edu_type, "content": content}
    response = await send(server, remote, edus=[edu])
    assert (response.status, response.json) == (200, {"pdus": {}})


@dataclass(slots=True)
class Inbox:
    """The transactions that a `Remote` gets: answer ``/v1/send/`` by `answer`."""

    letters: list[Letter] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, letter: Letter) -> Mapping[str, object]:
        self.letters.append(letter)
        self._came.set()
        return {"pdus": {}}

    @property
    def pdus(self) -> list[dict[str, Any]]:
        return [pdu for letter in self.letters for pdu in letter.json["pdus"]]

    def edus(self, edu_type: str) -> list[dict[str, Any]]:
        """The contents of the EDUs of one type."""
        return [
            edu["content"]
            for letter in self.letters
            for edu in letter.json["edus"]
            if edu["edu_type"] == edu_type
        ]

    async def until(self, is_there: Callable[["Inbox"], bool]) -> None:
        """Wait until what a test wants is there."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_there(self):
                self._came.clear()
                await self._came.wait()


def bodies(inbox: Inbox) -> list[str]:
    """The texts of the messages that came."""
    return [
        pdu["content"]["body"] for pdu in inbox.pdus if pdu["type"] == "m.room.message"
    ]
