"""All endpoints that show events agree on which (CS "Room History Visibility")."""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, join, send
from tests.features.sync.syncing import sync
from tests.http_client import Client
from tests.server import Server, UserClient

ALICE, BOB = "@alice:test", "@bob:test"
_ALL: Final = {"room": {"timeline": {"limit": 100}, "include_leave": True}}

Sent = dict[str, str]
"""The event IDs of messages by their texts."""

Path = Callable[[Client, str, Sent], Awaitable[set[str]]]
"""The texts of the messages that a user is shown in a room in one way."""


def _texts(events: list[dict[str, Any]]) -> set[str]:
    return {e["content"]["body"] for e in events if e["type"] == "m.room.message"}


async def _answer(client: Client, path: str) -> Any:  # noqa: ANN401 - see HttpResponse
    response = await client.get(path)
    assert response.status == 200, response.body
    return response.json


async def _backwards(client: Client, room_id: str, _: Sent) -> set[str]:
    path = f"/v3/rooms/{room_id}/messages?dir=b&limit=100"
    return _texts((await _answer(client, path))["chunk"])


async def _forwards(client: Client, room_id: str, _: Sent) -> set[str]:
    path = f"/v3/rooms/{room_id}/messages?dir=f&limit=100"
    return _texts((await _answer(client, path))["chunk"])


async def _around(client: Client, room_id: str, sent: Sent) -> set[str]:
    """Around the last message that the user may certainly see."""
    path = f"/v3/rooms/{room_id}/context/{quote(sent['joined'])}?limit=100"
    context = await _answer(client, path)
    return _texts(
        [*context["events_before"], context["event"], *context["events_after"]]
    )


async def _one_by_one(client: Client, room_id: str, sent: Sent) -> set[str]:
    seen = set()
    for text, event_id in sent.items():
        response = await client.get(f"/v3/rooms/{room_id}/event/{quote(event_id)}")
        if response.status == 200:
            assert response.json["content"]["body"] == text
            seen.add(text)
        else:
            assert response.json["errcode"] == "M_NOT_FOUND"
    return seen


async def _snapshot(client: Client, room_id: str, _: Sent) -> set[str]:
    path = f"/v3/rooms/{room_id}/initialSync?limit=100"
    return _texts((await _answer(client, path))["messages"]["chunk"])


async def _synced(client: Client, room_id: str, _: Sent) -> set[str]:
    """In the timeline of a first sync, and in what comes before it."""
    rooms = (await sync(client, filter=_ALL))["rooms"]
    entry = rooms.get("join", {}).get(room_id) or rooms["leave"][room_id]
    timeline = entry["timeline"]
    # A timeline begins after state that is hidden.
    path = f"/v3/rooms/{room_id}/messages?dir=b&limit=100&from={timeline['prev_batch']}"
    earlier = await _answer(client, path)
    return _texts([*timeline["events"], *earlier["chunk"]])


_PATHS: Final[dict[str, Path]] = {
    "messages backwards": _backwards,
    "messages forwards": _forwards,
    "context": _around,
    "events one by one": _one_by_one,
    "initialSync": _snapshot,
    "sync": _synced,
}


async def _visited_room(
    alice: UserClient, bob: UserClient, visibility: str
) -> tuple[str, Sent]:
    """A room that Bob was invited to, joined, left, and came back to."""
    room_id = await create_room(
        alice,
        initial_state=[
            {
                "type": "m.room.history_visibility",
                "content": {"history_visibility": visibility},
            }
        ],
    )
    await bob.get("/v3/account/whoami")
    room = f"/v3/rooms/{room_id}"
    sent = {"before": await send(alice, room_id, "before")}
    await alice.post(f"{room}/invite", {"user_id": BOB})
    sent["invited"] = await send(alice, room_id, "invited")
    await join(bob, room_id)
    sent["joined"] = await send(alice, room_id, "joined")
    await bob.post(f"{room}/leave", {})
    sent["away"] = await send(alice, room_id, "away")
    await alice.post(f"{room}/invite", {"user_id": BOB})
    sent["invited again"] = await send(alice, room_id, "invited again")
    await join(bob, room_id)
    sent["joined again"] = await send(alice, room_id, "joined again")
    return room_id, sent


@pytest.mark.parametrize(
    ("visibility", "hidden"),
    [
        ("shared", set()),
        ("nonsense", set()),
        ("invited", {"before", "away"}),
        ("joined", {"before", "invited", "away", "invited again"}),
    ],
)
@pytest.mark.parametrize("name", _PATHS)
async def test_what_is_hidden_is_hidden_on_every_path(
    server: Server, name: str, visibility: str, hidden: set[str]
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id, sent = await _visited_room(alice, bob, visibility)

    assert await _PATHS[name](bob, room_id, sent) == set(sent) - hidden

    # "they may see any events which they were allowed to see before they left the
    # room, but no events received after they left".
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    later = {"left": await send(alice, room_id, "left")}
    assert await _PATHS[name](bob, room_id, {**sent, **later}) == set(sent) - hidden
