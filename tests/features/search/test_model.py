"""Whatever happens, everybody finds what they can read, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.dice import thrown
from tests.features.acting import ADMIN, USERS, act_over_a_restart, clients_at
from tests.features.rooms import create_room
from tests.features.search.searching import event_ids, results
from tests.http_client import Client
from tests.server import Server
from tremula.assembly.searching import rebuild_indexes
from tremula.infra.config import PostgresUrl, SqliteFile

VISIBILITIES: Final = ("world_readable", "shared", "invited", "joined")
# None is the beginning of another.
WORDS: Final = ("oak", "élan", "ash", "pine", "木", "森林", "松", "日本", "🌲")
STEPS: Final = 60
OPERATIONS: Final = (
    *("send",) * 6,
    *("edit", "join") * 3,
    *("redact", "leave", "forget", "kick", "ban", "unban", "invite", "visibility"),
)


@dataclass(slots=True)
class World:
    """Users who act at random in the rooms of an administrator, and search there."""

    random: Random
    server: Server | None = None
    clients: dict[str, Client] = field(default_factory=dict)
    rooms: list[str] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    # Whoever has never been in a room does not search it, be it open to all.
    been_in: set[tuple[str, str]] = field(default_factory=set)
    # With which membership event: the next one has the user know the room again.
    forgotten: dict[tuple[str, str], str] = field(default_factory=dict)
    acts: int = 0

    async def enter(self, server: Server) -> None:
        """Go on with *server*, which may have been started anew."""
        self.server = server
        self.clients = await clients_at(server, self.clients)
        for _ in range(2 - len(self.rooms)):
            room_id = await create_room(self.clients[ADMIN], preset="public_chat")
            self.rooms.append(room_id)
            self.been_in.add((ADMIN, room_id))

    async def step(self) -> None:
        """One operation, which may be refused."""
        self.acts += 1
        user_id = self.random.choice((ADMIN, *USERS))
        operation = self.random.choice(OPERATIONS)
        if operation in {"send", "edit"}:
            await self._say(user_id, operation)
        elif operation == "redact":
            await self._redact()
        else:
            await self._change(operation, self.random.choice(USERS))

    async def _say(self, user_id: str, operation: str) -> None:
        text = " ".join(self.random.sample(WORDS, self.random.randint(1, 3)))
        room_id = self.random.choice(self.rooms)
        content: dict[str, object] = {"body": text}
        if operation == "edit" and self.sent:
            room_id, event_id = self.random.choice(self.sent)
            content = {
                "body": f"* {text}",
                "m.new_content": {"body": text},
                "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
            }
        path = f"/v3/rooms/{room_id}/send/m.room.message/{self.acts}"
        response = await self.clients[user_id].put(path, content)
        assert response.status in {200, 403}, response.body
        if response.status == 200:
            self.sent.append((room_id, response.json["event_id"]))

    async def _redact(self) -> None:
        if self.sent:
            room_id, event_id = self.random.choice(self.sent)
            path = f"/v3/rooms/{room_id}/redact/{event_id}/{self.acts}"
            response = await self.clients[ADMIN].put(path, {})
            assert response.status == 200, response.body

    async def _change(self, operation: str, user_id: str) -> None:
        room_id = self.random.choice(self.rooms)
        room, user, admin = (
            f"/v3/rooms/{room_id}",
            self.clients[user_id],
            self.clients[ADMIN],
        )
        if operation == "visibility":
            setting = {"history_visibility": self.random.choice(VISIBILITIES)}
            path = f"{room}/state/m.room.history_visibility"
            response = await admin.put(path, setting)
        elif operation in {"join", "leave", "forget"}:
            response = await user.post(f"{room}/{operation}", {})
        else:
            response = await admin.post(f"{room}/{operation}", {"user_id": user_id})
        assert response.status in {200, 400, 403, 404}, response.body
        if response.status != 200 or operation == "visibility":
            return
        if operation == "join":
            self.been_in.add((user_id, room_id))
        if operation == "forget":
            event_id = await self._member_event_id(user_id, room_id)
            self.forgotten[user_id, room_id] = event_id

    async def _member_event_id(self, user_id: str, room_id: str) -> str:
        path = f"/v3/rooms/{room_id}/state/m.room.member/{user_id}"
        response = await self.clients[ADMIN].get(path, query={"format": "event"})
        event_id: str = response.json["event_id"]
        return event_id

    async def _is_searched(self, user_id: str, room_id: str) -> bool:
        if (user_id, room_id) not in self.been_in:
            return False
        forgotten = self.forgotten.get((user_id, room_id))
        return forgotten != await self._member_event_id(user_id, room_id)

    async def check(self) -> None:
        """What is found is what can be read; also by an index that is made anew."""
        assert self.server is not None
        await self._check()
        await rebuild_indexes(self.server.db)
        await self._check()

    async def _check(self) -> None:
        """Everyone searches for everything, and finds what they can read of it."""
        for user_id, client in self.clients.items():
            texts: dict[str, str] = {}
            for room_id in self.rooms:
                if await self._is_searched(user_id, room_id):
                    texts |= await _texts(client, room_id)
            for word in WORDS:
                expected = {nid for nid, text in texts.items() if word in text}
                for order_by in ("rank", "recent"):
                    found = await _found(client, word, order_by)
                    assert len(found) == len(set(found)), (user_id, word)
                    assert set(found) == expected, (user_id, word, order_by)


async def _found(client: Client, word: str, order_by: str) -> list[str]:
    found: list[str] = []
    token: str | None = None
    while True:
        answer = await results(
            client, word, order_by=order_by, filter={"limit": 7}, next_batch=token
        )
        found += event_ids(answer)
        token = answer.get("next_batch")
        if token is None:
            return found


async def _texts(client: Client, room_id: str) -> dict[str, str]:
    """What can be read in a room: the newest text of each message, by its ID."""
    path = f"/v3/rooms/{room_id}/messages"
    response = await client.get(path, query={"dir": "b", "limit": 1000})
    if response.status == 403:
        return {}
    assert len(response.json["chunk"]) < 1000
    readable = [
        event
        for event in response.json["chunk"]
        if event["type"] == "m.room.message" and event["content"]
    ]
    messages = {e["event_id"]: e for e in readable if _replaced(e) is None}
    texts = {event_id: e["content"]["body"] for event_id, e in messages.items()}
    for edit in sorted(readable, key=lambda e: (e["origin_server_ts"], e["event_id"])):
        original = messages.get(_replaced(edit) or "")
        if original is not None and original["sender"] == edit["sender"]:
            texts[original["event_id"]] = edit["content"]["m.new_content"]["body"]
    return texts


def _replaced(event: Mapping[str, Any]) -> str | None:
    relation = event["content"].get("m.relates_to")
    return relation["event_id"] if relation else None


async def test_everybody_finds_what_they_can_read(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path
) -> None:
    world = World(thrown("SEARCH_SEED"))
    await act_over_a_restart(world, database_source, tmp_path, steps=STEPS)
