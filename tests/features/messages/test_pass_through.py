"""Stickers and widgets: all that the server does is to pass them on unchanged."""

from typing import Any, Final

from tests.features.rooms import create_room, error_of, join, set_state, state
from tests.features.sliding_sync.polling import a_list, slide
from tests.features.sync.syncing import room_of, sync, token
from tests.http_client import Client
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"

STICKER: Final[dict[str, Any]] = {
    "body": "Landing",
    "url": "mxc://test/zHwLTAZgOAzRiKgZQLZqzXWi",
    "info": {
        "mimetype": "image/png",
        "h": 200,
        "w": 140,
        "size": 73602,
        "thumbnail_url": "mxc://test/sHhqkFCvSkFwtmvtETOtKnLP",
        "thumbnail_info": {"mimetype": "image/png", "h": 200, "w": 140, "size": 73602},
    },
    "org.example.pack": {"name": "Ünïcode 🚀", "nested": [1, None, True, {"a": []}]},
}
WIDGET: Final[dict[str, Any]] = {
    "id": "etherpad_1",
    "type": "m.etherpad",
    "url": "https://widgets.example/?room=$matrix_room_id&user=$matrix_user_id#/x",
    "name": "Pad",
    "data": {"title": "$not_a_variable", "nested": {"list": [1, "two", None]}},
    "creatorUserId": ALICE,
    "waitForIframeLoad": False,
}
WIDGETS: Final[dict[str, Any]] = {
    "stickerpicker": {
        "content": {"type": "m.stickerpicker", "url": "https://x.example", "data": {}},
        "sender": BOB,
        "state_key": "stickerpicker",
        "type": "m.widget",
        "id": "stickerpicker",
    }
}


async def _room_of_both(alice: Client, bob: Client) -> str:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    return room_id


async def test_a_sticker_arrives_as_it_was_sent(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of_both(alice, bob)
    since = await token(bob)
    path = f"/v3/rooms/{room_id}"

    sent = await alice.put(f"{path}/send/m.sticker/s1", STICKER)

    event_id = sent.json["event_id"]
    [synced] = room_of(await sync(bob, since), room_id)["timeline"]["events"]
    by_id = (await bob.get(f"{path}/event/{event_id}")).json
    page = (await bob.get(f"{path}/messages?dir=b&limit=1")).json["chunk"]
    slid = await slide(bob, lists={"all": a_list(timeline_limit=1)})
    for event in (synced, by_id, *page, *slid["rooms"][room_id]["timeline"]):
        assert (event["type"], event["event_id"]) == ("m.sticker", event_id)
        assert event["content"] == STICKER


async def test_a_widget_is_state_like_any_other(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of_both(alice, bob)
    kind, widget_id = "im.vector.modular.widgets", "etherpad_1/ü"

    added = await set_state(alice, room_id, kind, WIDGET, widget_id)
    wanted = {"all": a_list(required_state=[[kind, "*"]])}
    first = await slide(bob, lists=wanted)

    assert added.status == 200
    assert await state(bob, room_id, kind, widget_id) == WIDGET
    [shown] = first["rooms"][room_id]["required_state"]
    assert (shown["state_key"], shown["content"]) == (widget_id, WIDGET)

    # A widget is removed by an empty content.
    assert (await set_state(alice, room_id, kind, {}, widget_id)).status == 200
    second = await slide(bob, first["pos"], lists=wanted)
    [gone] = second["rooms"][room_id]["required_state"]
    assert (gone["state_key"], gone["content"]) == (widget_id, {})


async def test_widgets_of_an_account_are_its_data(server: Server) -> None:
    bob = server.client(BOB)
    path = f"/v3/user/{BOB}/account_data/m.widgets"
    since = await token(bob)

    assert (await bob.put(path, WIDGETS)).status == 200

    assert (await bob.get(path)).json == WIDGETS
    [synced] = (await sync(bob, since))["account_data"]["events"]
    assert synced == {"type": "m.widgets", "content": WIDGETS}
    slid = await slide(bob, extensions={"account_data": {"enabled": True}})
    assert synced in slid["extensions"]["account_data"]["global"]


async def test_a_widget_learns_from_a_token_who_looks_at_it(server: Server) -> None:
    """The widget's own server asks, with the token that the client hands to it."""
    bob = server.client(BOB)

    issued = await bob.post(f"/v3/user/{BOB}/openid/request_token", {})

    told = issued.json
    assert (told["matrix_server_name"], told["token_type"]) == ("test", "Bearer")
    who = await server.anonymous.get(
        "/_matrix/federation/v1/openid/userinfo",
        query={"access_token": told["access_token"]},
    )
    assert who.json == {"sub": BOB}
    # It is no access token.
    as_user = Client(server.http, token=told["access_token"])
    assert error_of(await as_user.get("/v3/account/whoami"))[0] == 401
