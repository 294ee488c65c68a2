"""Typing, receipts and presence, which leave no trace in the history."""

import pytest

from tests.interop.user import Json, User, joined_room, share_room

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

_VERSION = "10"


async def test_typing_is_seen_and_ends(alice: User, bob: User) -> None:
    room_id = await share_room(alice, bob, _VERSION)

    for typing, watching in ((alice, bob), (bob, alice)):
        path = ("rooms", room_id, "typing", typing.user_id)
        await typing.put(*path, json={"typing": True, "timeout": 30_000})
        await watching.until(
            lambda answer, typing=typing: (  # type: ignore[misc]
                typing.user_id in (_typing(answer, room_id) or []) or None
            )
        )
        await typing.put(*path, json={"typing": False})
        await watching.until(
            lambda answer, typing=typing: (  # type: ignore[misc]
                typing.user_id not in (_typing(answer, room_id) or []) or None
            )
        )


async def test_receipts_go_both_ways(alice: User, bob: User) -> None:
    room_id = await share_room(alice, bob, _VERSION)
    event_id = await alice.say(room_id, "read this")
    await bob.until_event(room_id, event_id)

    for reading, watching in ((alice, bob), (bob, alice)):
        await reading.post("rooms", room_id, "receipt", "m.read", event_id)
        await watching.until(
            lambda answer, reading=reading: (  # type: ignore[misc]
                reading.user_id in _readers(answer, room_id, event_id) or None
            )
        )


async def test_presence_goes_both_ways(alice: User, bob: User) -> None:
    await share_room(alice, bob, _VERSION)

    for present, watching in ((alice, bob), (bob, alice)):
        status = f"{present.user_id} is here"
        await present.put(
            *("presence", present.user_id, "status"),
            json={"presence": "online", "status_msg": status},
        )
        await watching.until(
            lambda answer, present=present, status=status: (  # type: ignore[misc]
                _status(answer, present) == status or None
            )
        )


def _ephemeral(answer: Json, room_id: str, event_type: str) -> Json | None:
    events = joined_room(answer, room_id).get("ephemeral", {}).get("events", [])
    of_type = (event["content"] for event in events if event["type"] == event_type)
    return next(of_type, None)


def _typing(answer: Json, room_id: str) -> list[str] | None:
    content = _ephemeral(answer, room_id, "m.typing")
    return None if content is None else content["user_ids"]


def _readers(answer: Json, room_id: str, event_id: str) -> Json:
    content = _ephemeral(answer, room_id, "m.receipt") or {}
    readers: Json = content.get(event_id, {}).get("m.read", {})
    return readers


def _status(answer: Json, user: User) -> str | None:
    events = answer.get("presence", {}).get("events", [])
    of_user = (each for each in events if each["sender"] == user.user_id)
    return next((each["content"].get("status_msg") for each in of_user), None)
