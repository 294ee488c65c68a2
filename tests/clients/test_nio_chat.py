"""Rooms, messages and history with matrix-nio, over a socket."""

from nio import (  # type: ignore[import-untyped]  # it ships no types
    MessageDirection,
    RedactedEvent,
    RoomMessageText,
)

from tests.clients.conftest import Register
from tests.clients.nio_user import NioUser, granted, refused
from tests.homeserver import Homeserver


async def test_two_people_chat(nio_user: Register) -> None:
    """Register, create, invite, join, send, sync: each sees what the other says."""
    alice, bob = await nio_user("alice"), await nio_user("bob")
    room_id = await alice.create_room(name="Aspens", invite=[bob.user_id])
    await alice.sync()

    await bob.sync_until(lambda: room_id in bob.client.invited_rooms)
    invited = bob.client.invited_rooms[room_id]
    assert (invited.name, invited.inviter) == ("Aspens", alice.user_id)
    await bob.accept_invite(room_id)
    greeting = await alice.say(room_id, "hello bob", txn_id="txn1")
    [*_, heard] = await bob.read_until(room_id, greeting)
    answer = await bob.say(room_id, "hello alice")

    assert isinstance(heard, RoomMessageText)
    assert (heard.sender, heard.body) == (alice.user_id, "hello bob")
    assert heard.transaction_id is None
    echo = next(
        event
        for event in await alice.read_until(room_id, answer)
        if event.event_id == greeting
    )
    assert echo.transaction_id == "txn1"
    joined = await granted(alice.client.joined_members(room_id))
    assert {member.user_id for member in joined.members} == {
        alice.user_id,
        bob.user_id,
    }


async def test_history_pages_back_to_the_creation_and_forth_again(
    nio_user: Register,
) -> None:
    """Every event once, in order, in both directions, from what a sync gave."""
    alice = await nio_user("alice")
    room_id = await alice.create_room()
    sent = [await alice.say(room_id, f"message {number}") for number in range(25)]
    synced = await alice.sync(sync_filter={"room": {"timeline": {"limit": 5}}})
    timeline = synced.rooms.join[room_id].timeline

    assert timeline.limited
    assert [event.event_id for event in timeline.events] == sent[-5:]
    back = await _pages(alice, room_id, timeline.prev_batch, MessageDirection.back)
    forth = await _pages(alice, room_id, None, MessageDirection.front)

    assert back[:20] == sent[:20][::-1]
    assert forth == [*back[::-1], *sent[20:]]
    creation = await granted(alice.client.room_get_event(room_id, back[-1]))
    assert creation.event.source["type"] == "m.room.create"


async def _pages(
    user: NioUser, room_id: str, token: str | None, direction: MessageDirection
) -> list[str]:
    """All event ids from *token* on, or from the room's end."""
    found: list[str] = []
    while True:
        page = await granted(
            user.client.room_messages(room_id, token, limit=10, direction=direction)
        )
        found += [event.event_id for event in page.chunk]
        if page.end is None:
            return found
        token = page.end


async def test_an_events_neighbours_are_shown(nio_user: Register) -> None:
    alice = await nio_user("alice")
    room_id = await alice.create_room()
    sent = [await alice.say(room_id, f"message {number}") for number in range(5)]

    context = await granted(alice.client.room_context(room_id, sent[2], limit=4))

    assert context.event.body == "message 2"
    assert [event.event_id for event in context.events_before] == sent[1::-1]
    assert [event.event_id for event in context.events_after] == sent[3:]


async def test_everything_is_found_after_a_restart(
    nio_user: Register, homeserver: Homeserver
) -> None:
    """Tokens, rooms, names, history and transaction ids outlive the process."""
    alice, bob = await nio_user("alice"), await nio_user("bob")
    room_id = await alice.create_room(name="Aspens", invite=[bob.user_id])
    await bob.accept_invite(room_id)
    before = await alice.say(room_id, "before", txn_id="txn1")
    await bob.read_until(room_id, before)

    await homeserver.stop()
    await homeserver.start()

    assert await alice.say(room_id, "before", txn_id="txn1") == before
    after = await alice.say(room_id, "after")
    assert [event.event_id for event in await bob.read_until(room_id, after)] == [after]
    await bob.sync(since=None, full_state=True)
    assert bob.client.rooms[room_id].name == "Aspens"
    assert set(bob.client.rooms[room_id].users) == {alice.user_id, bob.user_id}
    whole = await granted(alice.client.room_messages(room_id, limit=100))
    ids = [event.event_id for event in whole.chunk]
    assert ids[:2] == [after, before]
    assert len(ids) == len(set(ids))


async def test_a_redacted_message_loses_its_text(nio_user: Register) -> None:
    alice, bob = await nio_user("alice"), await nio_user("bob")
    room_id = await alice.create_room(invite=[bob.user_id])
    await bob.accept_invite(room_id)
    regretted = await alice.say(room_id, "a secret")

    assert await refused(bob.client.room_redact(room_id, regretted)) == "M_FORBIDDEN"
    redaction = await granted(
        alice.client.room_redact(room_id, regretted, reason="spoke too soon")
    )

    [*_, seen] = await bob.read_until(room_id, redaction.event_id)
    assert (seen.redacts, seen.reason) == (regretted, "spoke too soon")
    page = await granted(bob.client.room_messages(room_id, limit=2))
    [_, emptied] = page.chunk
    assert isinstance(emptied, RedactedEvent)
    assert (emptied.event_id, emptied.redacter) == (regretted, alice.user_id)
    assert "body" not in emptied.source["content"]
