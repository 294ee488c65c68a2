"""The extensions of an answer: what is told of a device, and beside the rooms."""

from typing import Any

import pytest

from tests.features.rooms import create_room, error_of, join, send
from tests.features.sliding_sync.polling import (
    ALICE,
    BOB,
    a_list,
    poll,
    slide,
    waiting,
)
from tests.server import Server, UserClient

ON = {"enabled": True}


async def _account_data(
    client: UserClient, user_id: str, data_type: str, content: object, room_id: str = ""
) -> None:
    room = f"/rooms/{room_id}" if room_id else ""
    path = f"/v3/user/{user_id}{room}/account_data/{data_type}"
    response = await client.put(path, content)
    assert response.status == 200, response.body


async def _receipt(client: UserClient, room_id: str, event_id: str) -> None:
    path = f"/v3/rooms/{room_id}/receipt/m.read/{event_id}"
    response = await client.post(path, {})
    assert response.status == 200, response.body


async def _typing(
    client: UserClient, room_id: str, user_id: str, *, typing: bool
) -> None:
    body = {"typing": typing, "timeout": 30_000}
    await client.put(f"/v3/rooms/{room_id}/typing/{user_id}", body)


async def _send_to_alice(bob: UserClient, number: int) -> None:
    await _send_note(bob, ALICE, number)


async def _send_note(sender: UserClient, user_id: str, number: int) -> None:
    body = {"messages": {user_id: {"*": {"number": number}}}}
    response = await sender.put(f"/v3/sendToDevice/org.note/t{number}", body)
    assert response.status == 200, response.body


def _numbers(section: dict[str, Any]) -> list[int]:
    return [event["content"]["number"] for event in section["events"]]


async def _room_of(alice: UserClient, bob: UserClient) -> str:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    return room_id


async def test_nothing_is_told_that_nobody_asked_for(server: Server) -> None:
    alice = server.client(ALICE)
    await create_room(alice)

    off = {"enabled": False}
    names = ("to_device", "e2ee", "account_data", "receipts", "typing")
    answer = await slide(alice, extensions=dict.fromkeys(names, off))

    assert answer["extensions"] == {}


async def test_messages_to_a_device_come_until_it_has_them(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await alice.get("/v3/account/whoami")

    async def ask(pos: str | None, since: str | None) -> tuple[str, dict[str, Any]]:
        wanted = {**ON, "limit": 2, **({"since": since} if since else {})}
        answer = await slide(alice, pos, extensions={"to_device": wanted})
        return answer["pos"], answer["extensions"]["to_device"]

    for number in range(3):
        await _send_to_alice(bob, number)
    pos, first = await ask(None, None)
    _, again = await ask(None, None)
    pos, second = await ask(pos, first["next_batch"])
    pos, third = await ask(pos, second["next_batch"])
    await _send_to_alice(bob, 3)
    _, fourth = await ask(pos, third["next_batch"])

    assert _numbers(first) == _numbers(again) == [0, 1]
    assert _numbers(second) == [2]
    assert _numbers(third) == []
    assert _numbers(fourth) == [3]


@pytest.mark.parametrize("since", ["nonsense", "s999999999999999", "1_1"])
async def test_a_foreign_token_for_messages_is_refused(
    server: Server, since: str
) -> None:
    alice = server.client(ALICE)

    response = await poll(alice, extensions={"to_device": {**ON, "since": since}})

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_keys_and_device_lists_are_told(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await _room_of(alice, bob)
    first = await slide(alice, extensions={"e2ee": ON})

    await bob.put("/v3/devices/" + await _device_of(bob), {"display_name": "new"})
    second = await slide(alice, first["pos"], extensions={"e2ee": ON})

    before, after = (each["extensions"]["e2ee"] for each in (first, second))
    assert before["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert before["device_unused_fallback_key_types"] == []
    assert "device_lists" not in before
    assert after["device_lists"] == {"changed": [BOB], "left": []}


async def test_a_connection_about_keys_is_answered_when_a_direct_chat_has_news(
    server: Server,
) -> None:
    """Between its polls a client sends what its encryption has to say of that."""
    alice, bob = server.client(ALICE), server.client(BOB)
    chat, other = await _room_of(alice, bob), await _room_of(alice, bob)
    await _account_data(bob, BOB, "m.direct", {ALICE: [chat]})
    on: dict[str, Any] = {"extensions": {"e2ee": ON, "to_device": ON}}
    first = await slide(bob, **on)

    task = await waiting(server, bob, first["pos"], **on)
    await send(alice, chat)
    answer = await task
    task = await waiting(server, bob, answer["pos"], **on)
    await send(alice, other)
    await _send_note(alice, BOB, 1)
    later = await task

    assert (answer["rooms"], answer["lists"]) == ({}, {})
    assert answer["extensions"]["to_device"]["events"] == []
    assert _numbers(later["extensions"]["to_device"]) == [1]


async def _device_of(client: UserClient) -> str:
    device_id: str = (await client.get("/v3/account/whoami")).json["device_id"]
    return device_id


async def test_account_data_is_told_whole_and_then_as_it_changes(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await _account_data(alice, ALICE, "org.note", {"number": 1})
    await _account_data(alice, ALICE, "org.note", {"number": 2}, room_id)
    asked: dict[str, Any] = {
        "lists": {"all": a_list()},
        "extensions": {"account_data": ON},
    }
    first = await slide(alice, **asked)
    nothing = await slide(alice, first["pos"], **asked)
    await _account_data(alice, ALICE, "org.note", {"number": 3})
    await _account_data(alice, ALICE, "org.note", {"number": 4}, room_id)
    news = await slide(alice, nothing["pos"], **asked)

    whole = first["extensions"]["account_data"]
    note = {"type": "org.note", "content": {"number": 1}}
    assert note in whole["global"]
    assert "m.push_rules" in {event["type"] for event in whole["global"]}
    assert whole["rooms"] == {room_id: [{"type": "org.note", "content": {"number": 2}}]}
    assert nothing["extensions"] == {}
    assert news["extensions"]["account_data"] == {
        "global": [{"type": "org.note", "content": {"number": 3}}],
        "rooms": {room_id: [{"type": "org.note", "content": {"number": 4}}]},
    }
    assert news["rooms"] == {}


async def test_account_data_of_a_room_out_of_scope_comes_later(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    extensions = {"account_data": ON}
    inside, outside = {"all": a_list()}, {"all": a_list(7, 8)}
    first = await slide(alice, lists=inside, extensions=extensions)
    await _account_data(alice, ALICE, "org.note", {"number": 1}, room_id)

    away = await slide(alice, first["pos"], lists=outside, extensions=extensions)
    back = await slide(alice, away["pos"], lists=inside, extensions=extensions)

    assert away["extensions"] == {}
    assert back["extensions"]["account_data"]["rooms"] == {
        room_id: [{"type": "org.note", "content": {"number": 1}}]
    }


async def test_account_data_that_is_asked_for_later_is_told_whole(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await _account_data(alice, ALICE, "org.note", {"number": 1}, room_id)
    lists = {"all": a_list()}
    first = await slide(alice, lists=lists)

    second = await slide(
        alice, first["pos"], lists=lists, extensions={"account_data": ON}
    )

    told = second["extensions"]["account_data"]
    assert "m.push_rules" in {event["type"] for event in told["global"]}
    assert set(told["rooms"]) == {room_id}


async def test_receipts_of_a_new_room_are_those_of_its_timeline(
    server: Server,
) -> None:
    """And the user's own, wherever it is."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    old, new = await send(alice, room_id), await send(alice, room_id)
    await _receipt(bob, room_id, old)
    await _receipt(alice, room_id, old)
    asked: dict[str, Any] = {
        "lists": {"all": a_list(timeline_limit=1)},
        "extensions": {"receipts": ON},
    }

    first = await slide(alice, **asked)
    await _receipt(bob, room_id, new)
    second = await slide(alice, first["pos"], **asked)
    fresh = await slide(alice, **asked)

    def readers(answer: dict[str, Any]) -> dict[str, set[str]]:
        event = answer["extensions"]["receipts"]["rooms"][room_id]
        assert event["type"] == "m.receipt"
        return {
            event_id: set(by_type["m.read"])
            for event_id, by_type in event["content"].items()
        }

    assert readers(first) == {old: {ALICE}}
    assert readers(second) == {new: {BOB}}
    assert readers(fresh) == {old: {ALICE}, new: {BOB}}
    assert second["rooms"] == {}


async def test_typing_is_told_as_it_changes(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    asked: dict[str, Any] = {"lists": {"all": a_list()}, "extensions": {"typing": ON}}
    first = await slide(alice, **asked)
    await _typing(bob, room_id, BOB, typing=True)
    second = await slide(alice, first["pos"], **asked)
    third = await slide(alice, second["pos"], **asked)
    fresh = await slide(alice, **asked)
    await _typing(bob, room_id, BOB, typing=False)
    fourth = await slide(alice, third["pos"], **asked)

    def typing(user_ids: list[str]) -> dict[str, Any]:
        event = {"type": "m.typing", "content": {"user_ids": user_ids}}
        return {"typing": {"rooms": {room_id: event}}}

    assert first["extensions"] == third["extensions"] == {}
    assert second["extensions"] == fresh["extensions"] == typing([BOB])
    assert fourth["extensions"] == typing([])


@pytest.mark.parametrize(
    ("scope", "is_told"),
    [
        ({}, {"listed", "subscribed"}),
        ({"lists": ["*"], "rooms": ["*"]}, {"listed", "subscribed"}),
        ({"lists": [], "rooms": ["*"]}, {"subscribed"}),
        ({"lists": ["top"], "rooms": []}, {"listed"}),
        ({"lists": ["other"], "rooms": ["!other:test"]}, set()),
        ({"lists": []}, {"subscribed"}),
        ({"rooms": []}, {"listed"}),
    ],
)
async def test_extensions_have_their_scope(
    server: Server, scope: dict[str, list[str]], is_told: set[str]
) -> None:
    alice = server.client(ALICE)
    subscribed, listed = await create_room(alice), await create_room(alice)
    for room_id in (subscribed, listed):
        await _account_data(alice, ALICE, "org.note", {}, room_id)

    answer = await slide(
        alice,
        lists={"top": a_list(0, 0)},
        room_subscriptions={subscribed: {"timeline_limit": 1, "required_state": []}},
        extensions={"account_data": {**ON, **scope}},
    )

    names = {subscribed: "subscribed", listed: "listed"}
    told = answer["extensions"]["account_data"]["rooms"]
    assert {names[room_id] for room_id in told} == is_told


async def test_ephemeral_events_end_with_the_membership(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    event_id = await send(alice, room_id)
    asked: dict[str, Any] = {
        "lists": {"all": a_list()},
        "extensions": {"typing": ON, "receipts": ON},
    }
    first = await slide(bob, **asked)
    await alice.post(f"/v3/rooms/{room_id}/kick", {"user_id": BOB})
    await _typing(alice, room_id, ALICE, typing=True)
    await _receipt(alice, room_id, event_id)

    second = await slide(bob, first["pos"], **asked)

    assert set(second["rooms"]) == {room_id}
    assert second["extensions"] == {}


async def test_thread_subscriptions_are_told_as_they_change(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    roots = [await send(alice, room_id) for _ in range(2)]
    paths = [
        "/_matrix/client/unstable/io.element.msc4306"
        f"/rooms/{room_id}/thread/{root}/subscription"
        for root in roots
    ]
    name = "io.element.msc4308.thread_subscriptions"
    extensions = {name: {**ON, "limit": 1}}
    for path in paths:
        assert (await alice.put(path, {})).status == 200

    first = await slide(alice, extensions=extensions)
    nothing = await slide(alice, first["pos"], extensions=extensions)
    older = await alice.get(
        "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions",
        query={"dir": "b", "from": first["extensions"][name]["prev_batch"]},
    )
    assert (await alice.delete(paths[0])).status == 200
    second = await slide(alice, nothing["pos"], extensions=extensions)

    told = first["extensions"][name]
    assert set(told["subscribed"][room_id]) == {roots[1]}
    assert nothing["extensions"] == {}
    assert set(second["extensions"][name]["unsubscribed"][room_id]) == {roots[0]}
    assert set(older.json["subscribed"][room_id]) == {roots[0]}
