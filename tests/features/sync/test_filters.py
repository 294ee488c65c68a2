"""Filters of `/sync`: every key of the schema does what it says."""

from typing import Any

import orjson
import pytest

from tests.features.rooms import create_room, error_of, join, member, send, set_state
from tests.features.sync.syncing import (
    bodies,
    joined_rooms,
    keys,
    room_of,
    sync,
    timeline_ids,
    token,
)
from tests.server import Server, UserClient
from tremula.protocol.event_format import parse_pdu
from tremula.protocol.room_versions import ROOM_VERSIONS

ALICE = "@alice:test"
BOB = "@bob:test"


async def _room_of(alice: UserClient, bob: UserClient) -> str:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    return room_id


def _timeline(**wanted: object) -> dict[str, Any]:
    return {"room": {"timeline": wanted}}


async def test_a_filter_is_named_by_its_id_or_given_inline(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await send(alice, room_id)
    definition = _timeline(types=["m.room.create"])
    path = f"/v3/user/{ALICE}/filter"
    filter_id = (await alice.post(path, definition)).json["filter_id"]

    for wanted in (definition, filter_id):
        entry = room_of(await sync(alice, filter=wanted), room_id)
        assert [e["type"] for e in entry["timeline"]["events"]] == ["m.room.create"]


async def test_filters_of_others_are_unknown(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    definition = _timeline(limit=3)
    path = f"/v3/user/{ALICE}/filter"
    filter_id = (await alice.post(path, definition)).json["filter_id"]

    refused = await bob.get("/v3/sync", query={"filter": filter_id})
    own = await bob.get(f"/v3/user/{BOB}/filter/{filter_id}")
    foreign = await bob.get(f"{path}/{filter_id}")

    assert error_of(refused) == (400, "M_INVALID_PARAM")
    assert error_of(own) == (404, "M_NOT_FOUND")
    assert error_of(foreign) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ("{", (400, "M_NOT_JSON")),
        ('{"room":[]}', (400, "M_BAD_JSON")),
        ('{"room":{"timeline":{"limit":-1}}}', (400, "M_BAD_JSON")),
        ('{"event_format":"xml"}', (400, "M_BAD_JSON")),
        ('{"event_fields":[1]}', (400, "M_BAD_JSON")),
        ("no-such-filter", (400, "M_INVALID_PARAM")),
    ],
)
async def test_what_is_no_filter_is_refused(
    server: Server, raw: str, error: tuple[int, str]
) -> None:
    response = await server.client(ALICE).get("/v3/sync", query={"filter": raw})

    assert error_of(response) == error


async def test_types_senders_and_urls_choose_the_events(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    await send(alice, room_id, "plain")
    await send(bob, room_id, "bobs")
    await send(alice, room_id, "odd", event_type="org.test.odd")
    path = f"/v3/rooms/{room_id}/send/m.room.message/url"
    await alice.put(path, {"msgtype": "m.image", "body": "image", "url": "mxc://t/1"})

    async def shown(**wanted: object) -> list[str]:
        answer = await sync(bob, since, filter=_timeline(**wanted))
        entry = answer["rooms"].get("join", {}).get(room_id, {"timeline": {}})
        return [e["content"]["body"] for e in entry["timeline"].get("events", ())]

    assert await shown(types=["org.*"]) == ["odd"]
    assert await shown(types=["*.odd", "*essage"], not_types=["m.*"]) == ["odd"]
    assert await shown(not_types=["m.room.message"]) == ["odd"]
    assert await shown(types=[]) == []
    assert await shown(senders=[BOB]) == ["bobs"]
    assert await shown(not_senders=[BOB]) == ["plain", "odd", "image"]
    assert await shown(senders=[BOB], not_senders=[BOB]) == []
    assert await shown(contains_url=True) == ["image"]
    assert await shown(contains_url=False) == ["plain", "bobs", "odd"]
    assert await shown(rooms=[room_id], limit=1) == ["image"]
    assert await shown(not_rooms=[room_id]) == []


async def test_rooms_choose_the_rooms_of_every_section(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    wanted, unwanted = await _room_of(alice, bob), await _room_of(alice, bob)
    invited = await create_room(alice, invite=[BOB])
    left = await _room_of(alice, bob)
    await member(alice, left, "kick", BOB)

    def of_rooms(**selection: list[str]) -> dict[str, Any]:
        return {"room": {**selection, "include_leave": True}}

    only = await sync(bob, filter=of_rooms(rooms=[wanted]))
    but = await sync(bob, filter=of_rooms(not_rooms=[unwanted, invited, left]))
    none = await sync(bob, filter=of_rooms(rooms=[wanted], not_rooms=[wanted]))

    assert only["rooms"].keys() == but["rooms"].keys() == {"join"}
    assert joined_rooms(only) == joined_rooms(but) == {wanted}
    assert none["rooms"] == {}


async def test_the_state_is_filtered_apart_from_the_timeline(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Trees")
    wanted = {"room": {"timeline": {"limit": 1}, "state": {"not_types": ["m.room.m*"]}}}

    entry = room_of(await sync(alice, filter=wanted), room_id)
    limited = {"room": {**wanted["room"], "state": {"limit": 2}}}
    newest = room_of(await sync(alice, filter=limited), room_id)

    assert ("m.room.create", "") in keys(entry["state"]["events"])
    assert ("m.room.member", ALICE) not in keys(entry["state"]["events"])
    assert len(newest["state"]["events"]) == 2


async def test_account_data_ephemeral_and_presence_have_filters(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    event_id = await send(alice, room_id)
    await alice.post(f"/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})
    await alice.put(f"/v3/rooms/{room_id}/typing/{ALICE}", {"typing": True})
    for data_type in ("org.a", "org.b"):
        await bob.put(f"/v3/user/{BOB}/account_data/{data_type}", {})
        path = f"/v3/user/{BOB}/rooms/{room_id}/account_data/{data_type}"
        await bob.put(path, {"url": "x"} if data_type == "org.a" else {})

    async def shown(**wanted: object) -> tuple[set[str], set[str], set[str]]:
        answer = await sync(
            bob,
            filter={
                "presence": {"types": []},
                "account_data": wanted,
                "room": {"account_data": wanted, "ephemeral": wanted},
            },
        )
        entry = room_of(answer, room_id)
        sections = (answer.get("account_data"), entry["account_data"])
        of_user, of_room = (
            {event["type"] for event in (each or {"events": []})["events"]}
            for each in sections
        )
        return of_user, of_room, {e["type"] for e in entry["ephemeral"]["events"]}

    assert await shown(types=["org.a", "m.typing"]) == (
        {"org.a"},
        {"org.a"},
        {"m.typing"},
    )
    assert await shown(not_types=["org.*", "m.*"]) == (set(), set(), set())
    assert [len(types) for types in await shown(limit=1)] == [1, 1, 1]
    assert (await shown(contains_url=True))[1] == {"org.a"}


async def test_events_have_the_fields_that_were_asked_for(server: Server) -> None:
    """And those without which they would be none."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await send(alice, room_id, "hello")

    wanted = {"event_fields": ["content.body", "unsigned.membership"]}
    entry = room_of(await sync(alice, filter=wanted), room_id)

    event = entry["timeline"]["events"][-1]
    assert event["content"] == {"body": "hello"}
    assert event["unsigned"] == {"membership": "join"}
    first = entry["timeline"]["events"][0]
    assert (first["state_key"], first["content"]) == ("", {})


@pytest.mark.parametrize("version", ["1", "11", "12"])
async def test_the_federation_format_is_that_of_servers(
    server: Server, version: str
) -> None:
    """The PDU as it was signed, with what this device is told in ``unsigned``."""
    alice = server.client(ALICE)
    room_id = await create_room(alice, room_version=version, name="Trees")
    event_id = await send(alice, room_id, "hello")

    client = room_of(await sync(alice, filter=_timeline(limit=50)), room_id)
    wanted = {**_timeline(limit=50), "event_format": "federation"}
    entry = room_of(await sync(alice, filter=wanted), room_id)

    pdus = [parse_pdu(ROOM_VERSIONS[version], e) for e in entry["timeline"]["events"]]
    assert [pdu.event_id for pdu in pdus] == timeline_ids(client)
    assert {pdu.room_id for pdu in pdus} == {room_id}
    assert pdus[-1].event_id == event_id
    assert entry["timeline"]["events"][-1]["unsigned"]["membership"] == "join"


async def test_a_filter_with_every_key_is_accepted(server: Server) -> None:
    """Also what has no meaning where it stands, as the schema allows."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await send(alice, room_id, "hello")
    events = {
        "limit": 5,
        "types": ["*"],
        "not_types": [],
        "senders": [ALICE],
        "not_senders": [],
    }
    room_events = {
        **events,
        "rooms": [room_id],
        "not_rooms": [],
        "contains_url": False,
        "lazy_load_members": True,
        "include_redundant_members": True,
        "unread_thread_notifications": True,
    }
    sections = ("state", "timeline", "ephemeral", "account_data")
    wanted = {
        "event_fields": ["content"],
        "event_format": "client",
        "presence": events,
        "account_data": events,
        "room": {
            "rooms": [room_id],
            "not_rooms": [],
            "include_leave": True,
            **dict.fromkeys(sections, room_events),
        },
    }
    assert len(orjson.dumps(wanted)) < 2_000

    assert bodies(room_of(await sync(alice, filter=wanted), room_id)) == ["hello"]


async def test_state_that_the_timeline_leaves_out_is_not_lost(server: Server) -> None:
    """It stands in the state, at first and later."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await send(alice, room_id, "one")
    await set_state(alice, room_id, "m.room.topic", {"topic": "first"})
    await send(alice, room_id, "two")

    for wanted in (_timeline(types=["m.room.message"]), _timeline(not_rooms=[room_id])):
        first = await sync(bob, filter=wanted)
        state = room_of(first, room_id)["state"]["events"]
        topics = [e["content"] for e in state if e["type"] == "m.room.topic"]
        assert topics == [{"topic": "first"}]

    await send(alice, room_id, "three")
    await set_state(alice, room_id, "m.room.topic", {"topic": "second"})
    await send(alice, room_id, "four")
    wanted = _timeline(types=["m.room.message"])
    entry = room_of(await sync(bob, first["next_batch"], filter=wanted), room_id)

    assert bodies(entry) == ["three", "four"]
    assert [e["content"] for e in entry["state"]["events"]] == [{"topic": "second"}]
