"""The canonical aliases of a room, changed by several at the same time, over HTTP."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import pytest

from tests.features.directory.test_aliases import add, path_of
from tests.features.rooms import create_room, error_of, join, set_state, state
from tests.http_client import Client
from tests.server import Server
from tremula.protocol.identifiers import EventId, RoomId
from tremula.rooms.events import Draft
from tremula.rooms.rooms import Rooms

ALICE, BOB = "@alice:test", "@bob:test"
TREES, OAKS, ELMS = "#trees:test", "#oaks:test", "#elms:test"
CANONICAL: Final = "m.room.canonical_alias"

Meanwhile = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def just_before(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Have something else done before the next canonical alias is sent, when it has
    been decided upon.
    """
    waiting: list[Callable[[], Awaitable[object]]] = []
    append = Rooms.append

    async def append_late(
        rooms: Rooms, room_id: RoomId, drafts: Sequence[Draft]
    ) -> list[EventId]:
        if drafts[0].type == CANONICAL and waiting:
            await waiting.pop()()
        return await append(rooms, room_id, drafts)

    monkeypatch.setattr(Rooms, "append", append_late)
    return waiting.append


async def _shared_room(alice: Client, bob: Client) -> str:
    """A room of both, with all of the aliases, of which two are canonical."""
    room_id = await create_room(alice, preset="public_chat", room_alias_name="trees")
    await join(bob, room_id)
    levels = await state(alice, room_id, "m.room.power_levels")
    levels["events"][CANONICAL] = 0
    await set_state(alice, room_id, "m.room.power_levels", levels)
    for alias in (OAKS, ELMS):
        await add(alice, room_id, alias)
    content = {"alias": TREES, "alt_aliases": [OAKS]}
    assert (await set_state(alice, room_id, CANONICAL, content)).status == 200
    return room_id


async def test_what_others_set_stays_when_an_alias_is_removed(
    server: Server, just_before: Meanwhile
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _shared_room(alice, bob)
    bobs = {"alias": TREES, "alt_aliases": [ELMS, OAKS]}
    just_before(lambda: set_state(bob, room_id, CANONICAL, bobs))

    removed = await alice.delete(path_of(OAKS))

    assert removed.status == 200, removed.body
    content = await state(alice, room_id, CANONICAL)
    assert content == {"alias": TREES, "alt_aliases": [ELMS]}


async def test_an_alias_that_is_removed_meanwhile_does_not_come_back(
    server: Server, just_before: Meanwhile
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _shared_room(alice, bob)
    just_before(lambda: alice.delete(path_of(OAKS)))

    refused = await set_state(
        bob, room_id, CANONICAL, {"alias": TREES, "alt_aliases": [ELMS, OAKS]}
    )

    assert error_of(refused) == (400, "M_BAD_ALIAS")
    content = await state(alice, room_id, CANONICAL)
    assert content == {"alias": TREES, "alt_aliases": []}


async def test_an_alias_that_is_removed_before_it_becomes_canonical_does_not(
    server: Server, just_before: Meanwhile
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _shared_room(alice, bob)
    just_before(lambda: alice.delete(path_of(ELMS)))

    await set_state(
        bob, room_id, CANONICAL, {"alias": TREES, "alt_aliases": [ELMS, OAKS]}
    )

    content = await state(alice, room_id, CANONICAL)
    assert content == {"alias": TREES, "alt_aliases": [OAKS]}
