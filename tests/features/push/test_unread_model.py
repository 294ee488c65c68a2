"""Unread counts under whatever users do, against a model that counts one by one."""

from dataclasses import dataclass, field
from random import Random
from typing import Final
from urllib.parse import quote

import pytest

from tests.features.push.notifying import read, room_of, say, unread, unread_threads
from tests.features.rooms import join
from tests.server import Server

USERS: Final = ("@alice:test", "@bob:test", "@carol:test")
STEPS: Final = 60
MUTE: Final = "/v3/pushrules/global/override/mute"
TEA: Final = "/v3/pushrules/global/content/tea"
HIGHLIGHT: Final = ["notify", {"set_tweak": "highlight"}]


@dataclass
class Message:
    """An event, and whom it notified when it came: 1, or 2 for a highlight."""

    event_id: str
    sender: str
    thread: str
    notified: dict[str, int]


@dataclass
class Model:
    """What users have set, and up to which message they have read."""

    messages: list[Message] = field(default_factory=list)
    muted: set[str] = field(default_factory=set)
    keyword: set[str] = field(default_factory=set)
    joined_at: dict[str, int] = field(default_factory=dict)
    # By user and thread; None: by receipts without a thread.
    read: dict[tuple[str, str | None], int] = field(default_factory=dict)

    def outcome(self, user_id: str, body: str, mentioned: str | None) -> int:
        if user_id in self.muted:
            return 0
        is_keyword = "tea" in body.split() and user_id in self.keyword
        return 2 if is_keyword or mentioned == user_id else 1

    def counts(self, user_id: str) -> dict[str, tuple[int, int]]:
        counts = {"main": (0, 0)}
        for at, message in enumerate(self.messages):
            read_up_to = max(
                self.read.get((user_id, None), -1),
                self.read.get((user_id, message.thread), -1),
                self.joined_at[user_id] - 1,
            )
            outcome = message.notified.get(user_id, 0)
            if at > read_up_to and outcome and message.sender != user_id:
                n, h = counts.get(message.thread, (0, 0))
                counts[message.thread] = (n + 1, h + (outcome == 2))
        return counts


@dataclass
class World:
    """A server and its model, which do the same."""

    server: Server
    room_id: str
    random: Random
    model: Model

    async def send(self) -> None:
        sender = self.random.choice(USERS)
        body = self.random.choice(["hello", "more tea please", "steam"])
        mentioned = self.random.choice([None, None, *USERS])
        roots = [m.event_id for m in self.model.messages if m.thread == "main"]
        thread = self.random.choice([None, None, *roots[-3:]])
        content = {"m.mentions": {"user_ids": [mentioned] if mentioned else []}}
        event_id = await say(
            self.server.client(sender),
            self.room_id,
            body,
            thread=thread,
            content=content,
        )
        notified = {
            user_id: self.model.outcome(user_id, body, mentioned) for user_id in USERS
        }
        message = Message(event_id, sender, thread or "main", notified)
        self.model.messages.append(message)

    async def give_receipt(self) -> None:
        if not self.model.messages:
            return
        user_id = self.random.choice(USERS)
        newest = len(self.model.messages) - 1
        at = max(0, newest - self.random.choice([0, 0, 1, 3, 8]))
        message = self.model.messages[at]
        thread = self.random.choice([None, message.thread])
        kind = self.random.choice(["m.read", "m.read.private"])
        body = {} if thread is None else {"thread_id": thread}
        client = self.server.client(user_id)
        await read(client, self.room_id, message.event_id, kind, **body)
        key = (user_id, thread)
        self.model.read[key] = max(self.model.read.get(key, -1), at)

    async def change_rules(self) -> None:
        user_id = self.random.choice(USERS)
        client = self.server.client(user_id)
        path, having, body = self.random.choice(
            [
                (MUTE, self.model.muted, self._mute()),
                (TEA, self.model.keyword, {"pattern": "tea", "actions": HIGHLIGHT}),
            ]
        )
        if user_id in having:
            having.discard(user_id)
            response = await client.delete(path)
        else:
            having.add(user_id)
            response = await client.put(path, body)
        assert response.status == 200, response.body

    def _mute(self) -> dict[str, object]:
        condition = {"kind": "event_match", "key": "room_id", "pattern": self.room_id}
        return {"actions": [], "conditions": [condition]}

    async def redact(self) -> None:
        if not self.model.messages:
            return
        message = self.random.choice(self.model.messages)
        path = f"/v3/rooms/{quote(self.room_id)}/redact/{quote(message.event_id)}/r"
        client = self.server.client(message.sender)
        response = await client.put(f"{path}{self.random.getrandbits(60)}", {})
        assert response.status == 200, response.body
        message.notified.clear()

    async def rejoin(self) -> None:
        user_id = self.random.choice(USERS[1:])
        client = self.server.client(user_id)
        await client.post(f"/v3/rooms/{quote(self.room_id)}/leave", {})
        await join(client, self.room_id)
        self.model.joined_at[user_id] = len(self.model.messages)

    async def forget(self) -> None:
        """As after a restart: nothing is in memory."""
        journal = self.server.app.journal
        journal.forget(journal.position)

    async def check(self) -> None:
        for user_id in USERS:
            client = self.server.client(user_id)
            expected = self.model.counts(user_id)
            assert await unread_threads(client, self.room_id) == expected, user_id
            total = tuple(map(sum, zip(*expected.values(), strict=True)))
            assert await unread(client, self.room_id) == total


@pytest.mark.one_process(reason="it empties the memory of one process")
@pytest.mark.parametrize("seed", range(4))
async def test_counts_are_those_of_the_model(server: Server, seed: int) -> None:
    room_id = await room_of(server, *USERS)
    model = Model(joined_at=dict.fromkeys(USERS, 0))
    world = World(server, room_id, Random(seed), model)  # noqa: S311 - no secret
    steps = {
        world.send: 10,
        world.give_receipt: 5,
        world.change_rules: 3,
        world.redact: 1,
        world.rejoin: 1,
        world.forget: 1,
    }

    for number in range(STEPS):
        [step] = world.random.choices(list(steps), list(steps.values()))
        await step()
        if number % 4 == 0:
            await world.check()

    await world.check()
    assert model.messages
