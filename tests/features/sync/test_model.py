"""Whatever happens, a client that applies each `/sync` has what the server has."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.dice import thrown
from tests.features.acting import ADMIN, USERS, act_over_a_restart, clients_at
from tests.features.rooms import create_room, send
from tests.features.sync.model import SyncModel, pages_back, state_of
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.infra.config import PostgresUrl, SqliteFile

VISIBILITIES: Final = ("shared", "joined", "invited")
STEPS: Final = 40
OPERATIONS: Final = (
    *("message",) * 7,
    *("topic", "note", "join") * 3,
    *("leave", "rename", "redact", "invite", "kick", "ban", "unban", "visibility"),
)
# How each user's clients sync: with which parameters, and for which types.
MODES: Final[tuple[tuple[dict[str, object], list[str] | None], ...]] = (
    ({}, None),
    ({"use_state_after": True}, None),
    ({}, ["m.room.message"]),
)


@dataclass(slots=True)
class World:
    """Users who act and sync at random in the rooms of an administrator."""

    random: Random
    models: list[tuple[str, SyncModel, dict[str, object]]] = field(default_factory=list)
    clients: dict[str, Client] = field(default_factory=dict)
    rooms: list[str] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    acts: int = 0

    async def enter(self, server: Server) -> None:
        """Go on with *server*, which may have been started anew."""
        self.clients = await clients_at(server, self.clients)
        for user_id, model, _ in self.models:
            model.client = self.clients[user_id]
        if not self.rooms:
            await self._begin()

    async def _begin(self) -> None:
        for visibility in VISIBILITIES:
            setting = {"history_visibility": visibility}
            state = {"type": "m.room.history_visibility", "content": setting}
            room_id = await create_room(
                self.clients[ADMIN],
                preset="public_chat",
                initial_state=[state],
                power_level_content_override={"state_default": 0},
            )
            self.rooms.append(room_id)
            self.sent.append((room_id, await send(self.clients[ADMIN], room_id)))
        for user_id in USERS:
            for query, types in MODES:
                model = SyncModel(self.clients[user_id], types)
                self.models.append((user_id, model, query))

    async def step(self) -> None:
        """A few operations and syncs at the same time."""
        doing: list[Coroutine[Any, Any, None]] = [
            self._act(self.random.choice(OPERATIONS))
            for _ in range(self.random.randrange(4))
        ]
        for _, model, query in self.models:
            if self.random.random() < 0.25:
                doing.append(self._sync(model, query))
        self.random.shuffle(doing)
        await asyncio.gather(*doing)

    async def _sync(self, model: SyncModel, query: dict[str, object]) -> None:
        full: dict[str, object] = {}
        if self.random.random() < 0.1:
            full["full_state"] = True
        await model.sync(limit=self.random.randint(1, 8), **query, **full)

    async def _act(self, operation: str) -> None:
        self.acts += 1
        room_id = self.random.choice(self.rooms)
        user_id = self.random.choice(USERS)
        response = await self._request(operation, f"/v3/rooms/{room_id}", user_id)
        assert response.status in {200, 400, 403}, response.body
        if operation == "message" and response.status == 200:
            self.sent.append((room_id, response.json["event_id"]))

    async def _request(self, operation: str, room: str, user_id: str) -> HttpResponse:
        user, admin, number = self.clients[user_id], self.clients[ADMIN], self.acts
        match operation:
            case "message":
                content = {"msgtype": "m.text", "body": str(number)}
                return await user.put(f"{room}/send/m.room.message/{number}", content)
            case "topic":
                content = {"topic": str(number)}
                return await user.put(f"{room}/state/m.room.topic", content)
            case "note":
                key = self.random.randrange(3)
                return await user.put(f"{room}/state/org.note/{key}", {"note": number})
            case "rename":
                content = {"membership": "join", "displayname": str(number)}
                return await user.put(f"{room}/state/m.room.member/{user_id}", content)
            case "join" | "leave":
                return await user.post(f"{room}/{operation}", {})
            case _:
                return await self._administrate(admin, operation, room, user_id)

    async def _administrate(
        self, admin: Client, operation: str, room: str, user_id: str
    ) -> HttpResponse:
        if operation == "visibility":
            setting = {"history_visibility": self.random.choice(VISIBILITIES)}
            return await admin.put(f"{room}/state/m.room.history_visibility", setting)
        if operation == "redact":
            room_id, event_id = self.random.choice(self.sent)
            path = f"/v3/rooms/{room_id}/redact/{event_id}/{self.acts}"
            return await admin.put(path, {})
        return await admin.post(f"{room}/{operation}", {"user_id": user_id})

    async def check(self) -> None:
        """Everyone syncs to the end and compares."""
        for user_id, model, query in self.models:
            await self._sync(model, query)
            joined = await self.clients[user_id].get("/v3/joined_rooms")
            assert set(model.joined) == set(joined.json["joined_rooms"])
            for room_id, room in (model.joined | model.left).items():
                state = await state_of(model.client, room_id)
                assert room.state == state, (user_id, room_id, query, model.types)
                if model.types is None and not room.has_gap:
                    pages = await pages_back(model.client, room_id, {})
                    assert room.timeline == pages, (user_id, room_id, query)


async def test_a_client_has_what_the_server_has(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path
) -> None:
    """With any limits, with state or state_after."""
    world = World(thrown("SYNC_SEED"))
    await act_over_a_restart(world, database_source, tmp_path, steps=STEPS)
