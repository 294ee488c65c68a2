"""Rooms and files: rows of `places`."""

from typing import Final
from urllib.parse import quote

from tests.conformance.places import BOB, CAROL, Place, Row, fresh, ok
from tests.features.rooms import create_room, join, send, set_state, state


async def a_room(one: Place, other: Place) -> bool:
    room_id = await create_room(one.alice, name="New")
    joined = (await ok(other.alice.get("/v3/joined_rooms")))["joined_rooms"]
    there = await state(other.alice, room_id, "m.room.name")
    return room_id in joined and there == {"name": "New"}


async def a_message(one: Place, other: Place) -> bool:
    since = (await other.sync(other.bob))["next_batch"]
    event_id = await send(one.alice, one.room_id)
    path = other.path(f"event/{quote(event_id)}")
    page = await ok(other.bob.get(other.path("messages?dir=b&limit=1")))
    room = (await other.sync(other.bob, since))["rooms"]["join"][other.room_id]
    return (
        (await other.bob.get(path)).status == 200
        and page["chunk"][0]["event_id"] == event_id
        and room["timeline"]["events"][-1]["event_id"] == event_id
        and room["unread_notifications"]["notification_count"] > 0
    )


async def a_sliding_sync(one: Place, other: Place) -> bool:
    path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
    body = {
        "conn_id": fresh(),
        "lists": {
            "all": {"ranges": [[0, 9]], "timeline_limit": 1, "required_state": []}
        },
    }
    first = await ok(other.bob.post(path, body))
    event_id = await send(one.alice, one.room_id)
    second = await ok(one.bob.post(f"{path}?pos={first['pos']}", body))
    after = await send(one.alice, one.room_id)
    third = await ok(other.bob.post(f"{path}?pos={second['pos']}", body))
    return all(
        answer["rooms"][one.room_id]["timeline"][-1]["event_id"] == sent
        for answer, sent in ((second, event_id), (third, after))
    )


async def a_message_found(one: Place, other: Place) -> bool:
    word = fresh("needle")
    await send(one.alice, one.room_id, word)
    body = {"search_categories": {"room_events": {"search_term": word}}}
    found = await ok(other.bob.post("/v3/search", body))
    return bool(found["search_categories"]["room_events"]["results"])


async def a_redaction(one: Place, other: Place) -> bool:
    event_id = await send(one.alice, one.room_id)
    path = other.path(f"event/{quote(event_id)}")
    await ok(other.bob.get(path))
    redact = one.path(f"redact/{quote(event_id)}/{fresh('t')}")
    await ok(one.alice.put(redact, {}))
    return not (await ok(other.bob.get(path)))["content"]


async def relations(one: Place, other: Place) -> bool:
    root = await send(one.alice, one.room_id)
    relates_to = {"rel_type": "m.thread", "event_id": root}
    body = {"msgtype": "m.text", "body": "x", "m.relates_to": relates_to}
    path = one.path(f"send/m.room.message/{fresh('t')}")
    event_id = (await ok(one.alice.put(path, body)))["event_id"]
    v1 = f"/v1/rooms/{quote(other.room_id)}"
    children = await ok(other.bob.get(f"{v1}/relations/{quote(root)}"))
    threads = await ok(other.bob.get(f"{v1}/threads"))
    found = [each["chunk"][0]["event_id"] for each in (children, threads)]
    return found == [event_id, root]


async def a_repeated_send(one: Place, other: Place) -> bool:
    path = one.path(f"send/m.room.message/{fresh('t')}")
    body = {"msgtype": "m.text", "body": "x"}
    first = await ok(one.alice.put(path, body))
    return bool(first == await ok(other.alice.put(path, body)))


async def state_of_a_room(one: Place, other: Place) -> bool:
    topic = {"topic": fresh()}
    await set_state(one.alice, one.room_id, "m.room.topic", topic)
    return await state(other.bob, other.room_id, "m.room.topic") == topic


async def power_to_send(one: Place, other: Place) -> bool:
    levels = await state(one.alice, one.room_id, "m.room.power_levels")
    levels["users"][BOB] = 50
    await set_state(one.alice, one.room_id, "m.room.power_levels", levels)
    topics = [{"topic": fresh()} for _ in range(2)]
    said = await set_state(other.bob, other.room_id, "m.room.topic", topics[0])
    levels["users"][BOB] = 0
    await set_state(other.alice, one.room_id, "m.room.power_levels", levels)
    refused = await set_state(one.bob, other.room_id, "m.room.topic", topics[1])
    return (said.status, refused.status) == (200, 403)


async def members(one: Place, other: Place) -> bool:
    room_id = await create_room(one.alice, preset="private_chat")
    path = f"/v3/rooms/{quote(room_id)}"
    await ok(one.alice.post(f"{path}/invite", {"user_id": CAROL}))
    if room_id not in (await other.sync(other.carol))["rooms"].get("invite", {}):
        return False
    await join(other.carol, room_id)
    there = await ok(one.alice.get(f"{path}/joined_members"))
    await ok(one.alice.post(f"{path}/kick", {"user_id": CAROL}))
    is_out = (await other.carol.get(f"{path}/joined_members")).status == 403
    await ok(other.carol.post(f"{path}/forget", {}))
    query = "filter=" + quote('{"room":{"include_leave":true}}')
    synced = await ok(one.carol.get(f"/v3/sync?set_presence=offline&{query}"))
    return (
        CAROL in there["joined"]
        and is_out
        and room_id not in synced["rooms"].get("leave", {})
    )


async def receipts(one: Place, other: Place) -> bool:
    event_id = await send(one.alice, one.room_id)
    since = (await other.sync(other.alice))["next_batch"]
    await ok(one.bob.post(one.path(f"receipt/m.read/{quote(event_id)}"), {}))
    room = (await other.sync(other.alice, since))["rooms"]["join"][other.room_id]
    read = [each["content"] for each in room["ephemeral"]["events"]]
    counts = (await other.sync(other.bob))["rooms"]["join"][other.room_id]
    return (
        any(event_id in each for each in read)
        and counts["unread_notifications"]["notification_count"] == 0
    )


async def read_markers(one: Place, other: Place) -> bool:
    event_id = await send(one.alice, one.room_id)
    await ok(one.bob.post(one.path("read_markers"), {"m.fully_read": event_id}))
    path = f"/v3/user/{BOB}/rooms/{quote(one.room_id)}/account_data/m.fully_read"
    return bool((await ok(other.bob.get(path)))["event_id"] == event_id)


async def notifications(one: Place, other: Place) -> bool:
    event_id = await send(one.alice, one.room_id)
    found = await ok(other.bob.get("/v3/notifications"))
    return bool(found["notifications"][0]["event"]["event_id"] == event_id)


async def typing(one: Place, other: Place) -> bool:
    since = (await other.sync(other.alice))["next_batch"]
    path = one.path(f"typing/{BOB}")
    await ok(one.bob.put(path, {"typing": True, "timeout": 20_000}))
    room = (await other.sync(other.alice, since))["rooms"]["join"][other.room_id]
    await ok(one.bob.put(path, {"typing": False}))
    who = [each["content"].get("user_ids") for each in room["ephemeral"]["events"]]
    return [BOB] in who


async def aliases(one: Place, other: Place) -> bool:
    alias = f"#{fresh('alias')}:test"
    path = f"/v3/directory/room/{quote(alias)}"
    await ok(one.alice.put(path, {"room_id": one.room_id}))
    if (await ok(other.carol.get(path)))["room_id"] != one.room_id:
        return False
    listed = await ok(other.alice.get(other.path("aliases")))
    await ok(one.alice.delete(path))
    return alias in listed["aliases"] and (await other.carol.get(path)).status == 404


async def the_directory_of_rooms(one: Place, other: Place) -> bool:
    room_id = await create_room(one.alice, name=fresh("Listed"))
    path = f"/v3/directory/list/room/{quote(room_id)}"
    await ok(one.alice.put(path, {"visibility": "public"}))
    listed = await ok(other.carol.get("/v3/publicRooms"))
    rooms = [each["room_id"] for each in listed["chunk"]]
    visibility = (await ok(other.carol.get(path)))["visibility"]
    return room_id in rooms and visibility == "public"


async def spaces(one: Place, other: Place) -> bool:
    content = {"creation_content": {"type": "m.space"}}
    space = await create_room(one.alice, **content)
    path = f"/v1/rooms/{quote(space)}/hierarchy"
    await ok(other.alice.get(path))
    child = {"via": ["test"]}
    await set_state(one.alice, space, "m.space.child", child, one.room_id)
    found = (await ok(other.alice.get(path)))["rooms"]
    return one.room_id in [each["room_id"] for each in found]


async def delayed_events(one: Place, other: Place) -> bool:
    path = one.path(f"send/m.room.message/{fresh('t')}")
    body = {"msgtype": "m.text", "body": "later"}
    delay = "org.matrix.msc4140.delay=600000"
    delay_id = (await ok(one.alice.put(f"{path}?{delay}", body)))["delay_id"]
    there = await other.alice.get(f"/v1/delayed_events/{delay_id}")
    path = f"/v1/delayed_events/{delay_id}/send"
    return there.status == 200 and (await other.alice.post(path, {})).status == 200


async def media(one: Place, other: Place) -> bool:
    content = fresh("a file ").encode()
    headers = {"content-type": "text/plain"}
    path = "/_matrix/media/v3/upload"
    uploaded = await ok(one.alice.post(path, body=content, headers=headers))
    place = uploaded["content_uri"].removeprefix("mxc://")
    there = await other.bob.get(f"/v1/media/download/{place}")
    return there.status == 200 and there.body == content


async def media_that_was_announced(one: Place, other: Place) -> bool:
    created = await ok(one.alice.post("/_matrix/media/v1/create"))
    place = created["content_uri"].removeprefix("mxc://")
    headers = {"content-type": "text/plain"}
    path = f"/_matrix/media/v3/upload/{place}"
    await ok(other.alice.put(path, body=b"late", headers=headers))
    return (await one.bob.get(f"/v1/media/download/{place}")).body == b"late"


async def rendezvous(one: Place, other: Place) -> bool:
    path = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
    headers = {"content-type": "text/plain"}
    begun = await one.anonymous.post(path, body=b"hello", headers=headers)
    url = begun.json["url"]
    return (await other.anonymous.get(url[url.index("/_matrix") :])).body == b"hello"


OF_ROOMS: Final[tuple[Row, ...]] = (
    a_room,
    a_message,
    a_sliding_sync,
    a_message_found,
    a_redaction,
    relations,
    a_repeated_send,
    state_of_a_room,
    power_to_send,
    members,
    receipts,
    read_markers,
    notifications,
    typing,
    aliases,
    the_directory_of_rooms,
    spaces,
    delayed_events,
    media,
    media_that_was_announced,
    rendezvous,
)
