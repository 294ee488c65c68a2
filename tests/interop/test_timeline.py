"""What is said and changed in a room reaches the other server."""

import pytest

from tests.interop.user import Json, User, joined_room, share_room

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


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

    assert await _messages_backwards(bob, room_id, len(said)) == said[::-1]


async def test_redactions_go_both_ways(alice: User, bob: User, version: str) -> None:
    room_id = await share_room(alice, bob, version)
    by_alice = await alice.say(room_id, "a mistake of alice")
    await bob.until_event(room_id, by_alice)
    by_bob = await bob.say(room_id, "a mistake of bob")
    await alice.until_event(room_id, by_bob)

    await bob.until_event(room_id, await alice.redact(room_id, by_alice))
    # Alice may redact what others said, being the room's creator.
    await bob.until_event(room_id, await alice.redact(room_id, by_bob))

    for event_id in (by_alice, by_bob):
        redacted = await bob.get("rooms", room_id, "event", event_id)
        assert redacted["content"] == {}
        assert redacted["unsigned"]["redacted_because"]["sender"] == alice.user_id


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
    assert await bob.state_ids(room_id) == await alice.state_ids(room_id)


async def _messages_backwards(user: User, room_id: str, count: int) -> list[str]:
    """The IDs of the newest messages, as one scrolls back."""
    found: list[str] = []

    def timeline(answer: Json) -> Json | None:
        return joined_room(answer, room_id).get("timeline")

    token = (await user.until(timeline))["prev_batch"]
    pages = 0
    while len(found) < count:
        page = await user.get(
            *("rooms", room_id, "messages"),
            query={"dir": "b", "from": token, "limit": "10"},
        )
        found += [
            event["event_id"]
            for event in page["chunk"]
            if event["type"] == "m.room.message"
        ]
        assert "end" in page, f"{len(found)} of {count} messages"
        token, pages = page["end"], pages + 1
        assert pages < 20
    return found
