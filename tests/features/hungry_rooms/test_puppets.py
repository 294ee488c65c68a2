"""Users whom an operator has puppets for, and for whom the bridges act, too."""

from urllib.parse import quote

import pytest

from tests.features.appservices.registrations import namespaces, registration
from tests.features.hungry_rooms.bridges import BOT, batch, bodies, bridge, message
from tests.features.rooms import create_room, error_of, join
from tests.server import Server

ALICE = "@alice:test"
EVERYBODY = namespaces(users="@.*:test", exclusive=False)
OTHERS_GHOST = "@_xmpp_ann:test"


async def test_a_bridge_acts_as_whom_there_are_puppets_for(server: Server) -> None:
    """In its room: they are in it at once, and have said and read what it brings."""
    bot, alice = await bridge(server), server.client(ALICE)
    await server.add_appservice(registration("puppets", namespaces=EVERYBODY))
    wanted = {"com.beeper.auto_join_invites": True}

    room_id = await create_room(bot, invite=[ALICE], **wanted)
    sent = await batch(bot, room_id, [message("mine", ALICE)], mark_read_by=ALICE)

    assert sent.status == 200, sent.body
    room = (await alice.get("/v3/sync")).json["rooms"]["join"][room_id]
    assert "m.fully_read" in {each["type"] for each in room["account_data"]["events"]}
    assert await bodies(alice, room_id) == ["mine", "created"]


@pytest.mark.parametrize(
    ("owner", "puppets", "sender"),
    [
        # A user's bridge is no operator's.
        ("@bob:test", {}, ALICE),
        # Nor are a user's puppets.
        (None, {"owner": "@bob:test"}, ALICE),
        # What is told of everybody's rooms is there for something else.
        (None, {"url": "http://127.0.0.1:9"}, ALICE),
        # Ghosts are one bridge's alone.
        (None, {}, OTHERS_GHOST),
    ],
)
async def test_it_acts_as_nobody_else(
    server: Server, owner: str | None, puppets: dict[str, str], sender: str
) -> None:
    bot = await bridge(server, owner=owner)
    await bridge(server, name="xmpp")
    await server.add_appservice(
        registration("puppets", namespaces=EVERYBODY, **puppets)
    )

    room_id = await create_room(bot, creation_content={"m.federate": False})
    refused = await batch(bot, room_id, [message("hers", sender)])

    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_a_room_of_whom_it_acts_for_is_not_its_own(server: Server) -> None:
    """The bot is a guest there."""
    bot, alice = await bridge(server), server.client(ALICE)
    await server.add_appservice(registration("puppets", namespaces=EVERYBODY))
    room_id = await create_room(
        alice, creation_content={"m.federate": False}, invite=[BOT]
    )
    await join(bot, room_id)

    path = f"/unstable/com.beeper.yeet/rooms/{quote(room_id)}/delete"
    for refused in (
        await batch(bot, room_id, [message("hers", ALICE)]),
        await bot.post(path, {}),
    ):
        assert error_of(refused) == (403, "M_FORBIDDEN")
