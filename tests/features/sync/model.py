"""A client that knows of its rooms only what `/sync` and `/messages` tell it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.features.sync.syncing import ids, sync
from tests.http_client import Client

_PAGE = "7"


@dataclass(slots=True)
class RoomModel:
    """A room as the client sees it: event IDs, oldest first, and state by key.

    ``has_gap`` is that the user was shut out before the client could fill one.
    """

    timeline: list[str] = field(default_factory=list)
    has_gap: bool = False
    state: dict[tuple[str, str], str] = field(default_factory=dict)

    def set_state(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            if "state_key" in event:
                self.state[event["type"], event["state_key"]] = event["event_id"]


@dataclass(slots=True)
class SyncModel:
    """Applies the answers of `/sync` one by one, and fills their gaps.

    ``left`` are the rooms that were joined before and are no longer, as they were
    then. With ``types`` the timelines hold these alone.
    """

    client: Client
    types: list[str] | None = None
    since: str | None = None
    joined: dict[str, RoomModel] = field(default_factory=dict)
    left: dict[str, RoomModel] = field(default_factory=dict)

    async def sync(self, *, limit: int, **query: object) -> None:
        """Sync once."""
        timeline: dict[str, object] = {"limit": limit}
        if self.types is not None:
            timeline["types"] = self.types
        wanted = {"room": {"timeline": timeline}}
        answer = await sync(self.client, self.since, filter=wanted, **query)
        rooms = answer["rooms"]
        for room_id in rooms.get("invite", ()):
            self._forget(room_id)
        for room_id, entry in rooms.get("leave", {}).items():
            room = self.joined.get(room_id)
            self._forget(room_id)
            if room is not None:
                await self._apply(room_id, room, entry, self.since)
                self.left[room_id] = room
        for room_id, entry in rooms.get("join", {}).items():
            since = self.since if room_id in self.joined else None
            room = self.joined.get(room_id, RoomModel())
            self._forget(room_id)
            await self._apply(room_id, room, entry, since)
            self.joined[room_id] = room
        self.since = answer["next_batch"]

    def _forget(self, room_id: str) -> None:
        self.joined.pop(room_id, None)
        self.left.pop(room_id, None)

    async def _apply(
        self, room_id: str, room: RoomModel, entry: dict[str, Any], since: str | None
    ) -> None:
        timeline = entry["timeline"]
        if self.types is None and timeline["limited"]:
            await self._fill_gap(room_id, room, timeline["prev_batch"], since)
        room.timeline += ids(timeline["events"])
        if "state_after" in entry:
            room.set_state(entry["state_after"]["events"])
        else:
            room.set_state(entry["state"]["events"])
            room.set_state(timeline["events"])

    async def _fill_gap(
        self, room_id: str, room: RoomModel, start: str, stop: str | None
    ) -> None:
        query = {"from": start, **({"to": stop} if stop else {})}
        missed = await pages_back(self.client, room_id, query)
        room.has_gap = room.has_gap or missed is None
        room.timeline += missed or []


async def pages_back(
    client: Client, room_id: str, query: Mapping[str, str]
) -> list[str] | None:
    """All events that `/messages` has for *query*, page by page, oldest first.

    None if they are not the user's to read.
    """
    found: list[str] = []
    query = {**query, "dir": "b", "limit": _PAGE}
    while True:
        response = await client.get(f"/v3/rooms/{room_id}/messages", query=query)
        if response.status == 403:
            return None
        assert response.status == 200, response.body
        found += ids(response.json["chunk"])
        if "end" not in response.json:
            return found[::-1]
        query["from"] = response.json["end"]


async def state_of(client: Client, room_id: str) -> dict[tuple[str, str], str]:
    """The state that the server says a room has."""
    response = await client.get(f"/v3/rooms/{room_id}/state")
    assert response.status == 200, response.body
    return {(e["type"], e["state_key"]): e["event_id"] for e in response.json}
