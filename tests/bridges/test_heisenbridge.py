"""IRC by heisenbridge: simple puppets, over HTTP and over a websocket."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bridges import heisenbridge, registrations
from tests.bridges.conftest import Register, Serve
from tests.bridges.heisenbridge import Heisenbridge
from tests.bridges.irc_network import IrcNetwork, IrcUser
from tests.bridges.matrix_user import MatrixUser
from tests.bridges.program import Program
from tests.homeserver import Homeserver
from tests.interop.gate import Gate

pytestmark = pytest.mark.bridges

_CHANNEL = "#aspens"
_BOT = "@heisenbridge:test"


def _unknown(command: str) -> str:
    return f'Unknown command "{command}", type HELP for list'


def _puppet(nick: str) -> str:
    return f"@irc_irc_{nick}:test"


@dataclass(frozen=True, slots=True)
class Scene:
    """Alice of Matrix and Bob of IRC, in one channel."""

    bridge: Program
    alice: MatrixUser
    bob: IrcUser
    network_room: str
    channel_room: str

    async def assert_both_hear_each_other(self, word: str) -> None:
        """Fail unless what each says reaches the other."""
        await self.bob.say(_CHANNEL, f"{word} from IRC")
        heard = await self.alice.hears(self.channel_room, f"{word} from IRC")
        assert heard.sender == _puppet("bob")
        await self.alice.say(self.channel_room, f"{word} from Matrix")
        seen = await self.bob.sees("pubmsg")
        assert (seen["nick"], seen["arguments"]) == ("alice", [f"{word} from Matrix"])

    async def command(self, name: str) -> None:
        """Tell the bridge what it does not understand; it has said so."""
        await self.alice.say(self.network_room, name)
        await self.alice.hears(self.network_room, _unknown(name))

    async def commanded(self) -> list[str]:
        """What the bridge has said that it does not understand."""
        notices = "\n".join(await self.alice.read(self.network_room, _BOT))
        return [line for line in notices.split("\n") if "Unknown command" in line]


@pytest.fixture
async def generated(tmp_path: Path, gate: Gate) -> Heisenbridge:
    bridge = Heisenbridge(tmp_path / "heisenbridge", gate)
    await bridge.generate()
    return bridge


@pytest.fixture
async def homeserver(serve: Serve, generated: Heisenbridge) -> Homeserver:
    return await serve(generated.registration)


@pytest.fixture(params=["http", "ws"])
async def scene(
    request: pytest.FixtureRequest,
    generated: Heisenbridge,
    homeserver: Homeserver,
    register: Register,
    irc: IrcNetwork,
    stack: AsyncExitStack,
) -> Scene:
    """What the owner of the bridge does to talk in a channel."""
    if request.param == "ws":
        generated.gate.shut()
    alice = await register(homeserver, "alice")
    url = homeserver.url.replace("http:", f"{request.param}:")
    bridge = generated.program(url, alice.user_id)
    stack.push_async_callback(bridge.clean_up)
    await heisenbridge.start(bridge)
    network_room = await _open_network(alice, irc)
    bob = await irc.connect("bob")
    await bob.join(_CHANNEL)
    await alice.say(network_room, f"JOIN {_CHANNEL}")
    await bob.sees("join", nick="alice")
    channel_room = await alice.room_named(f"{_CHANNEL} (irc)")
    await alice.hears(channel_room, "Synchronizing members")
    return Scene(bridge, alice, bob, network_room, channel_room)


async def _open_network(alice: MatrixUser, irc: IrcNetwork) -> str:
    control_room = await alice.room_where(lambda room: True)
    await alice.say(control_room, "ADDNETWORK irc")
    await alice.hears(control_room, "Network added")
    await alice.say(control_room, f"ADDSERVER irc 127.0.0.1 {irc.port}")
    await alice.hears(control_room, "Server added")
    await alice.say(control_room, "OPEN irc")
    network_room = await alice.room_named("irc")
    await alice.say(network_room, "CONNECT")
    await alice.hears(network_room, "End of MOTD")
    return network_room


async def test_people_of_irc_and_matrix_talk(scene: Scene) -> None:
    alice, bob = scene.alice, scene.bob
    await scene.assert_both_hear_each_other("hello")

    await bob.rename("robert")
    await alice.sees_in_room(scene.channel_room, _puppet("robert"))
    await alice.sees_left(scene.channel_room, _puppet("bob"))
    await bob.part(_CHANNEL)
    await alice.sees_left(scene.channel_room, _puppet("robert"))

    await bob.say("alice", "a word in private")
    private_room = await alice.room_named("robert (irc)")
    await alice.hears(private_room, "a word in private")
    await alice.say(private_room, "granted")
    assert (await bob.sees("privmsg"))["arguments"] == ["granted"]


async def test_a_restarted_bridge_loses_and_doubles_nothing(
    scene: Scene, generated: Heisenbridge, homeserver: Homeserver
) -> None:
    """It hears what it was told while it was away, once and in order."""
    alice, gate, names = scene.alice, generated.gate, ["ONE", "TWO", "THREE"]
    await scene.assert_both_hear_each_other("before")
    await scene.command("ZERO")

    is_reached = gate.is_open
    gate.shut()
    await scene.bridge.kill()
    for name in names:
        await alice.say(scene.network_room, name)
    await heisenbridge.start(scene.bridge)
    if is_reached:
        # Not before: it forgets what it gets while it loads its rooms.
        gate.open()
        await registrations.ping(homeserver, generated.registration)

    await alice.hears(scene.network_room, _unknown("THREE"))
    await scene.bob.sees("join", nick="alice")
    await scene.assert_both_hear_each_other("after")
    assert await scene.commanded() == [_unknown(name) for name in ["ZERO", *names]]
    assert scene.bob.read("alice") == ["before from Matrix", "after from Matrix"]
    said = await alice.read(scene.channel_room, _puppet("bob"))
    assert said == ["before from IRC", "after from IRC"]
