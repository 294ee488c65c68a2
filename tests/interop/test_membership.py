"""Joining, inviting, knocking, leaving, across servers."""

from collections.abc import Mapping

import pytest

from tests.interop.conftest import Register
from tests.interop.user import (
    Refused,
    User,
    assert_same_state,
    membership_in,
    share_room,
)

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


async def test_a_public_room_is_joined(alice: User, bob: User, version: str) -> None:
    room_id = await alice.create_room(version, name="Aspens")

    await bob.join(room_id, via=alice.peer)

    await alice.until_membership(room_id, bob, "join")
    await assert_same_state(room_id, alice, bob)


async def test_an_invite_is_accepted(alice: User, bob: User, version: str) -> None:
    room_id = await alice.create_room(version, preset="private_chat", name="Aspens")
    await alice.invite(room_id, bob)

    told = await bob.until_invited(room_id)
    await bob.join(room_id, via=alice.peer)

    assert {"m.room.name", "m.room.join_rules"} <= {event["type"] for event in told}
    await alice.until_membership(room_id, bob, "join")
    await assert_same_state(room_id, alice, bob)


async def test_an_invite_is_rejected(alice: User, bob: User, version: str) -> None:
    room_id = await alice.create_room(version, preset="private_chat")
    await alice.invite(room_id, bob)
    await bob.until_invited(room_id)

    await bob.leave(room_id)

    await alice.until_membership(room_id, bob, "leave")


async def test_an_invite_is_taken_back(alice: User, bob: User, version: str) -> None:
    room_id = await alice.create_room(version, preset="private_chat")
    await alice.invite(room_id, bob)
    await bob.until_invited(room_id)

    await alice.kick(room_id, bob)

    await bob.until_left(room_id)


async def test_a_room_without_an_invite_is_closed(
    alice: User, bob: User, version: str
) -> None:
    room_id = await alice.create_room(version, preset="private_chat")

    with pytest.raises(Refused) as refusal:
        await bob.join(room_id, via=alice.peer)

    assert refusal.value.errcode == "M_FORBIDDEN"
    assert membership_in(await alice.state(room_id), bob) is None


async def test_a_room_that_is_not_for_others_stays_closed_to_them(
    alice: User, bob: User, version: str
) -> None:
    room_id = await alice.create_room(version, creation_content={"m.federate": False})

    with pytest.raises(Refused) as refusal:
        await bob.join(room_id, via=alice.peer)

    assert refusal.value.errcode == "M_FORBIDDEN"


async def test_a_guest_leaves_and_comes_back(
    alice: User, bob: User, version: str
) -> None:
    room_id = await share_room(alice, bob, version)

    await bob.leave(room_id)
    await alice.until_membership(room_id, bob, "leave")
    meanwhile = await alice.say(room_id, "nobody of the other server hears this")
    await bob.join(room_id, via=alice.peer)

    await alice.until_membership(room_id, bob, "join")
    greeting = await alice.say(room_id, "welcome back")
    await bob.until_event(room_id, greeting)
    assert meanwhile != greeting
    await assert_same_state(room_id, alice, bob)


async def test_a_guest_is_kicked(alice: User, bob: User, version: str) -> None:
    room_id = await share_room(alice, bob, version)

    await alice.kick(room_id, bob)

    await bob.until_left(room_id)


async def test_a_guest_with_power_kicks_and_bans(
    alice: User, bob: User, register_at: Register, version: str
) -> None:
    """Those whom it hits are at the host, and learn it from the guest's server."""
    anna, adam = [await register_at(alice.peer, name) for name in ("anna", "adam")]
    room_id = await share_room(alice, bob, version)
    for user in (anna, adam):
        await user.join(room_id, via=alice.peer)
        await bob.until_membership(room_id, user, "join")
    await alice.give_power(room_id, bob)

    await bob.kick(room_id, anna)
    await bob.ban(room_id, adam)

    await anna.until_left(room_id)
    await adam.until_left(room_id)
    with pytest.raises(Refused):
        await adam.join(room_id, via=alice.peer)
    await alice.until_membership(room_id, adam, "ban")
    await assert_same_state(room_id, alice, bob)


async def test_who_is_banned_stays_out_until_unbanned(
    alice: User, bob: User, version: str
) -> None:
    room_id = await share_room(alice, bob, version)

    await alice.ban(room_id, bob)
    await bob.until_left(room_id)
    with pytest.raises(Refused) as refusal:
        await bob.join(room_id, via=alice.peer)
    await alice.unban(room_id, bob)
    await bob.join(room_id, via=alice.peer)

    assert refusal.value.errcode == "M_FORBIDDEN"
    await alice.until_membership(room_id, bob, "join")


@pytest.mark.parametrize("version", ["10", "11", "12"])
async def test_a_knock_is_let_in(alice: User, bob: User, version: str) -> None:
    room_id = await alice.create_room(
        version,
        preset="private_chat",
        initial_state=[_join_rules({"join_rule": "knock"})],
    )

    await bob.knock(room_id, via=alice.peer)
    await alice.until_membership(room_id, bob, "knock")
    await alice.invite(room_id, bob)
    await bob.until_invited(room_id)
    await bob.join(room_id, via=alice.peer)

    await alice.until_membership(room_id, bob, "join")


# Synapse does not tell other servers that a knock is withdrawn: its issue 18030.
@pytest.mark.parametrize("pair", ["synapse-tremula", "tremula-tremula"], indirect=True)
@pytest.mark.parametrize("version", ["10", "11", "12"])
async def test_a_knock_is_withdrawn(alice: User, bob: User, version: str) -> None:
    room_id = await alice.create_room(
        version,
        preset="private_chat",
        initial_state=[_join_rules({"join_rule": "knock"})],
    )
    await bob.knock(room_id, via=alice.peer)
    await alice.until_membership(room_id, bob, "knock")

    await bob.leave(room_id)

    await alice.until_membership(room_id, bob, "leave")


# Synapse neither tells other servers of this nor listens to them: the same issue.
@pytest.mark.parametrize("pair", ["tremula-tremula"], indirect=True)
@pytest.mark.parametrize("version", ["10", "11", "12"])
async def test_a_knock_is_turned_away(alice: User, bob: User, version: str) -> None:
    room_id = await alice.create_room(
        version,
        preset="private_chat",
        initial_state=[_join_rules({"join_rule": "knock"})],
    )
    await bob.knock(room_id, via=alice.peer)
    await alice.until_membership(room_id, bob, "knock")

    await alice.kick(room_id, bob)

    await bob.until_left(room_id)


@pytest.mark.parametrize("version", ["10", "11", "12"])
@pytest.mark.parametrize("join_rule", ["restricted", "knock_restricted"])
async def test_members_of_another_room_may_join(
    alice: User, bob: User, version: str, join_rule: str
) -> None:
    space_id = await alice.create_room(version)
    rules = {
        "join_rule": join_rule,
        "allow": [{"type": "m.room_membership", "room_id": space_id}],
    }
    room_id = await alice.create_room(
        version, preset="private_chat", initial_state=[_join_rules(rules)]
    )

    with pytest.raises(Refused) as refusal:
        await bob.join(room_id, via=alice.peer)
    await bob.join(space_id, via=alice.peer)
    await bob.join(room_id, via=alice.peer)

    assert refusal.value.errcode == "M_FORBIDDEN"
    state = await bob.state(room_id)
    joined = state["m.room.member", bob.user_id]["content"]
    assert joined["join_authorised_via_users_server"] == alice.user_id
    await alice.until_membership(room_id, bob, "join")


def _join_rules(content: Mapping[str, object]) -> dict[str, object]:
    return {"type": "m.room.join_rules", "state_key": "", "content": content}
