"""What is said and changed in a room reaches the other server."""

import pytest

from tests.interop.user import User, assert_same_state, share_room

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

_PAGES_MAX = 20


async def test_messages_go_both_ways(alice: User, bob: User, version: str) -> None:
    room_id = await share_room(alice, bob, version)

    greeting = await alice.say(room_id, "hello bob")
    heard_by_bob = await bob.until_event(room_id, greeting)
    answer = await bob.say(room_id, "hello alice")
    heard_by_alice = await alice.until_event(room_id, answer)

    assert heard_by_bob["content"]["body"] == "hello bob"
    assert heard_by_bob["sender"] == alice.user_id
    assert heard_by_alice["content"]["body"] == "hello alice"
    assert heard_by_alice["sender"] == bob.user_id


async def test_history_from_before_the_join_is_fetched(
    alice: User, bob: User, version: str
) -> None:
    room_id = await alice.create_room(version)
    said = [await alice.say(room_id, f"message {number}") for number in range(30)]

    await bob.join(room_id, via=alice.peer)

    assert await _messages_backwards(bob, room_id) == said[::-1]


async def test_history_that_is_for_members_stays_hidden(
    alice: User, bob: User, version: str
) -> None:
    """Bob scrolls back to the beginning, and sees what was said since he came."""
    visibility = {
        "type": "m.room.history_visibility",
        "state_key": "",
        "content": {"history_visibility": "joined"},
    }
    room_id = await alice.create_room(version, initial_state=[visibility])
    await alice.say(room_id, "a secret")

    await bob.join(room_id, via=alice.peer)
    await alice.until_membership(room_id, bob, "join")
    greeting = await alice.say(room_id, "welcome")
    await bob.until_event(room_id, greeting)

    assert await _messages_backwards(bob, room_id) == [greeting]


async def test_redactions_go_both_ways(alice: User, bob: User, version: str) -> None:
    room_id = await share_room(alice, bob, version)
    by_alice = await alice.say(room_id, "a mistake of alice")
    await bob.until_event(room_id, by_alice)
    by_bob, another = [
        await bob.say(room_id, f"mistake {number} of bob") for number in range(2)
    ]
    await alice.until_event(room_id, another)

    await bob.until_event(room_id, await alice.redact(room_id, by_alice))
    # Alice may redact what others said, being the room's creator.
    await bob.until_event(room_id, await alice.redact(room_id, by_bob))
    await alice.until_event(room_id, await bob.redact(room_id, another))

    for event_id, redacting in ((by_alice, alice), (by_bob, alice), (another, bob)):
        for user in (alice, bob):
            redacted = await user.get("rooms", room_id, "event", event_id)
            because = redacted["unsigned"]["redacted_because"]
            assert redacted["content"] == {}
            assert because["sender"] == redacting.user_id


async def test_a_new_name_is_seen_in_rooms_and_asked_for(
    alice: User, bob: User, version: str
) -> None:
    room_id = await share_room(alice, bob, version)

    for changed, watching in ((alice, bob), (bob, alice)):
        name = f"{changed.user_id} renamed"
        await changed.put(
            "profile", changed.user_id, "displayname", json={"displayname": name}
        )
        member = ("m.room.member", changed.user_id)
        await watching.until_state(
            room_id,
            lambda state, member=member, name=name: (  # type: ignore[misc]
                state[member]["content"].get("displayname") == name
            ),
        )
        profile = await watching.get("profile", changed.user_id)
        assert profile["displayname"] == name


async def test_power_is_given_and_used(alice: User, bob: User, version: str) -> None:
    room_id = await share_room(alice, bob, version)
    await alice.give_power(room_id, bob)
    renamed = await bob.set_state(room_id, "m.room.topic", {"topic": "by bob"})

    assert (await alice.until_event(room_id, renamed))["sender"] == bob.user_id
    await assert_same_state(room_id, alice, bob)


async def _messages_backwards(user: User, room_id: str) -> list[str]:
    """The IDs of all messages, as one scrolls back to the room's beginning."""
    found: list[str] = []
    query = {"dir": "b", "limit": "10"}
    for _ in range(_PAGES_MAX):
        page = await user.get("rooms", room_id, "messages", query=query)
        found += [
            event["event_id"]
            for event in page["chunk"]
            if event["type"] == "m.room.message"
        ]
        if "end" not in page:
            return found
        query["from"] = page["end"]
    raise AssertionError(f"no end after {_PAGES_MAX} pages")
