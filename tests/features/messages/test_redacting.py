"""Redactions as clients are shown them, over HTTP."""

import asyncio
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, join, send, set_state
from tests.server import Server


@pytest.mark.parametrize("version", ["10", "12"])
async def test_a_redaction_names_its_target_where_old_and_new_clients_look(
    server: Server, version: str
) -> None:
    """RV11: at the top level and in ``content``, whatever the room version."""
    alice = server.client("@alice:test")
    room_id = await create_room(alice, room_version=version)
    target = await send(alice, room_id)
    room = f"/v3/rooms/{quote(room_id)}"
    response = await alice.put(f"{room}/redact/{quote(target)}/txn", {"reason": "oh"})
    redaction_id = response.json["event_id"]

    redaction = (await alice.get(f"{room}/event/{quote(redaction_id)}")).json
    redacted = (await alice.get(f"{room}/event/{quote(target)}")).json

    for shown in (redaction, redacted["unsigned"]["redacted_because"]):
        assert shown["event_id"] == redaction_id
        assert shown["redacts"] == target
        assert shown["content"] == {"reason": "oh", "redacts": target}


async def test_one_redaction_repeated_at_one_time_is_one_event(server: Server) -> None:
    """A client that retries before it has the answer."""
    alice = server.client("@alice:test")
    room_id = await create_room(alice)
    target = await send(alice, room_id)
    path = f"/v3/rooms/{quote(room_id)}/redact/{quote(target)}/txn"

    answers = await asyncio.gather(*(alice.put(path, {}) for _ in range(4)))

    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.json["event_id"] for answer in answers}) == 1


async def test_a_redaction_is_repeated_by_who_has_lost_the_power_since(
    server: Server,
) -> None:
    """Its answer was lost. They redact nothing else."""
    alice, bob = server.client("@alice:test"), server.client("@bob:test")
    room_id = await create_room(alice, preset="public_chat", room_version="11")
    room = f"/v3/rooms/{quote(room_id)}"
    await join(bob, room_id)
    targets = [await send(alice, room_id) for _ in range(2)]
    one, other = [f"{room}/redact/{quote(each)}/{each}" for each in targets]
    mods = {"users": {"@alice:test": 100, "@bob:test": 50}}
    await set_state(alice, room_id, "m.room.power_levels", mods)
    done = await bob.put(one, {})
    nobody = {"users": {"@alice:test": 100}}
    await set_state(alice, room_id, "m.room.power_levels", nobody)

    again, refused = await bob.put(one, {}), await bob.put(other, {})

    assert (again.status, again.json) == (200, done.json)
    assert error_of(refused) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("version", ["10", "12"])
async def test_a_redaction_may_be_sent_as_any_event(
    server: Server, version: str
) -> None:
    """MSC4169: whatever the room version, and with whatever its content says beside."""
    alice = server.client("@alice:test")
    room_id = await create_room(alice, room_version=version)
    target = await send(alice, room_id)
    room = f"/v3/rooms/{quote(room_id)}"

    content = {"redacts": target, "reason": "oh", "org.example.any": 1}
    response = await alice.put(f"{room}/send/m.room.redaction/txn", content)

    redaction_id = response.json["event_id"]
    redacted = (await alice.get(f"{room}/event/{quote(target)}")).json
    redaction = redacted["unsigned"]["redacted_because"]
    assert redacted["content"] == {}
    assert redaction["event_id"] == redaction_id
    assert redaction["redacts"] == target
    assert redaction["content"] == content


async def test_nobody_redacts_by_state_what_they_may_not_redact(server: Server) -> None:
    """Who may set state need not have the power to redact."""
    alice, bob = server.client("@alice:test"), server.client("@bob:test")
    levels = {"users": {"@bob:test": 50}, "redact": 100}
    room_id = await create_room(
        alice, preset="public_chat", power_level_content_override=levels
    )
    room = f"/v3/rooms/{quote(room_id)}"
    await bob.post(f"{room}/join", {})
    target = await send(alice, room_id)

    response = await bob.put(
        f"{room}/state/m.room.redaction/{quote('@bob:test')}", {"redacts": target}
    )

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")
    shown = (await alice.get(f"{room}/event/{quote(target)}")).json
    assert shown["content"]["body"]
