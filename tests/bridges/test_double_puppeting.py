"""A bridge in which a user is themself on both sides."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bridges import clients, registrations
from tests.bridges.conftest import Register, Serve
from tests.bridges.environments import own_program
from tests.bridges.matrix_user import MatrixUser
from tests.bridges.program import Program
from tests.clients.nio_user import granted
from tests.homeserver import Homeserver
from tests.postgres_server import free_port

pytestmark = pytest.mark.bridges

_BOT = "@twosidesbot:test"
_ALICE, _BOB, _CAROL = "@alice:test", "@left_bob:test", "@right_carol:test"


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge, for Alice."""

    homeserver: Homeserver
    program: Program

    async def link(self, left: str, right: str) -> None:
        """Carry between two rooms what is said and read there."""
        await self.program.tell(link=[left, right])
        await self.program.told(seen="link")


@pytest.fixture
async def bridge(serve: Serve, stack: AsyncExitStack, tmp_path: Path) -> Bridge:
    port = str(free_port())
    registration = registrations.write(
        tmp_path / "twosides.yaml",
        f"http://127.0.0.1:{port}",
        ["@left_.*", "@right_.*", _BOT],
    )
    puppets = registrations.write(
        tmp_path / "puppets.yaml", None, ["@.*:test"], exclusive=False
    )
    homeserver = await serve(registration, puppets)
    arguments = (homeserver.url, str(registration), port, str(puppets), _ALICE)
    log = tmp_path / "double_puppet.log"
    program = own_program("double_puppet", *arguments, log=log)
    stack.push_async_callback(program.clean_up)
    await program.start()
    await program.told(seen="ready")
    return Bridge(homeserver, program)


async def _share_room(host: MatrixUser, guest: MatrixUser) -> str:
    """A room with the bridge's bot."""
    room = await host.nio.create_room(invite=[_BOT, guest.user_id])
    await guest.nio.accept_invite(room)
    await host.nio.sync_until(lambda: room in host.nio.client.rooms)
    await host.sees_in_room(room, _BOT)
    return room


@dataclass(frozen=True, slots=True)
class Sides:
    """Two rooms that the bridge has linked: Alice is in both."""

    alice: MatrixUser
    bob: MatrixUser
    carol: MatrixUser
    left: str
    right: str


@pytest.fixture
async def sides(bridge: Bridge, register: Register) -> Sides:
    alice, bob, carol = [
        await register(bridge.homeserver, name) for name in ("alice", "bob", "carol")
    ]
    left, right = await _share_room(bob, alice), await _share_room(carol, alice)
    await bridge.link(left, right)
    return Sides(alice, bob, carol, left, right)


async def test_a_user_is_themself_on_both_sides(bridge: Bridge, sides: Sides) -> None:
    alice, bob, carol = sides.alice, sides.bob, sides.carol
    left, right = sides.left, sides.right

    await bob.say(left, "Bob's")
    assert (await carol.hears(right, "Bob's")).sender == _BOB
    await alice.say(left, "Alice's to the left")
    assert (await carol.hears(right, "Alice's to the left")).sender == _ALICE
    await alice.say(right, "Alice's to the right")
    assert (await bob.hears(left, "Alice's to the right")).sender == _ALICE
    await carol.say(right, "Carol's")
    assert (await bob.hears(left, "Carol's")).sender == _CAROL

    for user, room in ((bob, left), (carol, right)):
        assert sorted(await user.read(room, _ALICE)) == [
            "Alice's to the left",
            "Alice's to the right",
        ]
    # It says so only after it was answered, when others may have heard it already.
    await bridge.program.has_told_all(4, seen="carried")
    assert len(bridge.program.all_told(seen="carried")) == 4


async def test_receipts_are_mirrored_without_echo(bridge: Bridge, sides: Sides) -> None:
    """Alice reads on the left: it is read on the right, and not on the left again."""
    alice, carol, left, right = sides.alice, sides.carol, sides.left, sides.right
    said = await sides.bob.say(left, "Bob's")
    carried = (await bridge.program.told(seen="carried"))["event_id"]
    await carol.hears(right, "Bob's")

    await granted(alice.nio.client.update_receipt_marker(left, said))

    mirrored = await bridge.program.told(seen="mirrored")
    assert (mirrored["sender"], mirrored["event_id"]) == (_ALICE, carried)
    await bridge.program.told(seen="own receipt", sender=_ALICE, event_id=carried)
    receipts = carol.nio.client.rooms[right].read_receipts
    await carol.nio.sync_until(lambda: _ALICE in receipts)
    assert receipts[_ALICE].event_id == carried

    # Whatever else would come has come before what is said now.
    await carol.say(right, "Carol's")
    await bridge.program.told(seen="carried")
    await granted(carol.nio.client.update_receipt_marker(right, carried))
    await bridge.program.told(seen="own receipt", sender=_CAROL)
    assert len(bridge.program.all_told(seen="mirrored", sender=_ALICE)) == 1


async def test_what_is_encrypted_is_encrypted_on_the_other_side(
    bridge: Bridge, register: Register, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """By devices that the bot and the users have; Alice is herself there, too."""
    alice, carol = [
        await register(bridge.homeserver, name) for name in ("alice", "carol")
    ]
    alices, carols = [
        await clients.start(bridge.homeserver, user, stack, tmp_path)
        for user in (alice, carol)
    ]
    left = await alice.nio.create_room(invite=[_BOT], initial_state=[clients.ENCRYPTED])
    right = await carol.nio.create_room(
        invite=[_BOT, _ALICE], initial_state=[clients.ENCRYPTED]
    )
    await alices.has_told(seen="join", room_id=left, who=_BOT)
    await alices.has_told(seen="join", room_id=right, who=_ALICE)
    await carols.has_told(seen="join", room_id=right, who=_BOT)
    await bridge.link(left, right)

    await alices.tell(do="send_text", **{"with": {"room_id": left, "text": "Alice's"}})
    heard = await carols.told(seen="message", room_id=right)
    assert (heard["sender"], heard["body"]) == (_ALICE, "Alice's")
    assert heard["was_encrypted"]
    await carols.tell(do="send_text", **{"with": {"room_id": right, "text": "Carol's"}})
    heard = await alices.told(seen="message", room_id=left, body="Carol's")
    assert heard["sender"] == _CAROL
    assert heard["was_encrypted"]
