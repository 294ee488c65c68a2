"""A bridge in Go, made as those of today are: it encrypts, and is restarted."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from nio import (  # type: ignore[import-untyped]  # it ships no types
    MegolmEvent,
    MessageDirection,
)

from tests.bridges import clients, registrations
from tests.bridges.conftest import Register, Serve
from tests.bridges.environments import GROVE
from tests.bridges.grove import BOT, Chat, Grove, Settings, ghost
from tests.bridges.matrix_user import MatrixUser
from tests.bridges.program import Program
from tests.clients.nio_user import granted
from tests.homeserver import Homeserver
from tests.postgres_server import free_port
from tests.server import SERVER_NAME

pytestmark = pytest.mark.bridges


@dataclass(frozen=True, slots=True)
class Scene:
    """Alice, whose client encrypts, and a bridge that is set up for her server."""

    bridge: Program
    alice: MatrixUser
    client: Program
    # What the network was told before the bridge was killed.
    told: list[str] = field(default_factory=list)

    async def start_bridge(self) -> None:
        await self.bridge.start()
        await self.bridge.has_told(seen="ready")

    async def kill_bridge(self) -> None:
        self.told.extend(self._told_now())
        await self.bridge.kill()

    async def log_in(self) -> None:
        """Have Alice log in to the network, by the bridge's bot."""
        room_id = await self.alice.nio.create_room(
            invite=[BOT], is_direct=True, initial_state=[clients.ENCRYPTED]
        )
        await self.client.has_told(seen="message", room_id=room_id, sender=BOT)
        await self.say(room_id, "login")
        assert await self.hears("You are in the grove") == room_id

    async def say(self, room_id: str, *texts: str) -> None:
        """Have Alice say something, in secret; it has come to the room."""
        for text in texts:
            message = {"room_id": room_id, "text": text}
            await self.client.tell(do="send_text", **{"with": message})
            await self.hears(text)

    async def hears(self, text: str) -> str:
        """The room where Alice hears this, in secret."""
        heard = {"seen": "message", "body": text, "was_encrypted": True}
        await self.client.has_told(**heard)
        room_id: str = self.client.all_told(**heard)[0]["room_id"]
        return room_id

    async def hears_what_was_before(self, text: str) -> str:
        """As `hears`, of what the bridge brings into a room that it has just made.

        When mautrix-go 0.25.2 is told of its own members joining, it forgets the
        session that it has shared with them, and gives up on a batch that needs it.
        """
        try:
            return await self.hears(text)
        except TimeoutError:
            if self.bridge.said("re-sharing group session: no group session created"):
                pytest.xfail("mautrix-go forgot the session that it had just shared")
            raise

    async def network_hears(self, *texts: str) -> None:
        """Wait until Alice has said this on the network, in secret on the way there."""
        for text in texts:
            told = await self.bridge.told(seen="message")
            assert (told["body"], told["was_encrypted"]) == (text, True)

    def all_told(self) -> list[str]:
        """All that Alice has told the network, whichever process of the bridge."""
        return [*self.told, *self._told_now()]

    async def read(self, room_id: str) -> list[tuple[str, str]]:
        """Who has said what in a room, in order, as far as Alice can decrypt it."""
        told = self.client.all_told(seen="message", room_id=room_id)
        plain = {each["event_id"]: (each["sender"], each["body"]) for each in told}
        messages = await granted(
            self.alice.nio.client.room_messages(
                room_id, limit=1000, direction=MessageDirection.front
            )
        )
        return [plain[e.event_id] for e in messages.chunk if isinstance(e, MegolmEvent)]

    async def names(self, room_id: str) -> dict[str, str]:
        """Who is in a room, and by which name."""
        members = await granted(self.alice.nio.client.joined_members(room_id))
        return {each.user_id: each.display_name for each in members.members}

    def _told_now(self) -> list[str]:
        return [each["body"] for each in self.bridge.all_told(seen="message")]


@pytest.fixture
def grove(tmp_path: Path) -> Grove:
    if not GROVE.exists():
        pytest.skip("the bridge in Go is not built: `make bridges` says why")
    return Grove(tmp_path / "grove")


@pytest.fixture
async def scene(
    request: pytest.FixtureRequest,
    grove: Grove,
    serve: Serve,
    register: Register,
    stack: AsyncExitStack,
    tmp_path: Path,
) -> Scene:
    """With a bridge of the operator's by HTTP, or Alice's own by a websocket."""
    if request.param == "http":
        homeserver = await _serve_operators_bridge(grove, serve)
        alice = await register(homeserver, "alice")
    else:
        homeserver = await serve()
        alice = await register(homeserver, "alice")
        await _add_own_bridge(grove, homeserver, alice)
    client = await clients.start(homeserver, alice, stack, tmp_path)
    bridge = grove.program()
    stack.push_async_callback(bridge.clean_up)
    return Scene(bridge, alice, client)


async def _serve_operators_bridge(grove: Grove, serve: Serve) -> Homeserver:
    """One that generates its registration, is pushed to, and logs in for its device.
    By another registration, of the operator's as well, it acts as everybody.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    grove.configure(appservice={"address": address, "port": port})
    await grove.generate()
    puppets = registrations.write(
        grove.folder / "puppets.yaml", None, [f"@.*:{SERVER_NAME}"], exclusive=False
    )
    homeserver = await serve(grove.registration, puppets)
    grove.configure(
        homeserver={"address": homeserver.url},
        double_puppet=_puppeting(registrations.read(puppets)["as_token"]),
    )
    return homeserver


async def _add_own_bridge(
    grove: Grove, homeserver: Homeserver, alice: MatrixUser
) -> None:
    """One that Alice adds, as bridge-manager does, and that acts as her. It comes by a
    websocket, and makes and signs its device itself.
    """
    path = "/_matrix/asmux/mxauth/appservice/alice/grove"
    wanted = {"push": False, "self_hosted": True}
    headers = {"Authorization": f"Bearer {alice.nio.client.access_token}"}
    async with (
        aiohttp.ClientSession(homeserver.url, headers=headers) as session,
        session.put(path, json=wanted) as response,
    ):
        assert response.status == 201
        registration: dict[str, Any] = await response.json()
    tokens = {name: registration[name] for name in ("as_token", "hs_token")}
    grove.configure(
        homeserver={
            "address": homeserver.url,
            "software": "hungry",
            "websocket": True,
        },
        appservice={"id": registration["id"], **tokens},
        encryption={"msc4190": True, "self_sign": True},
        double_puppet=_puppeting(tokens["as_token"]),
    )


def _puppeting(as_token: str) -> Settings:
    return {"secrets": {SERVER_NAME: f"as_token:{as_token}"}}


@pytest.mark.parametrize(
    ("postgres_or_sqlite", "scene"),
    [("sqlite", "http"), ("postgres", "websocket")],
    indirect=True,
)
async def test_nothing_is_lost_or_doubled_between_a_network_and_an_encrypted_room(
    scene: Scene,
) -> None:
    alice, bridge = scene.alice, scene.bridge
    await scene.start_bridge()
    await scene.log_in()

    # A chat that was there before comes as a batch, into a room with all in it.
    chat = Chat("aspens", "alice", ["bob", "carol"])
    for member in ("bob", "alice", "carol"):
        chat.keep(member, f"{member}, long ago")
    await chat.show(bridge)
    room = await scene.hears_what_was_before("carol, long ago")
    assert not scene.client.all_told(seen="invite", room_id=room)
    await chat.say(bridge, "bob", "hello")
    assert await scene.hears("hello") == room
    await scene.say(room, "hi")
    await scene.network_hears("hi")
    await chat.say(bridge, "carol", "hi both")
    await scene.hears("hi both")

    # When it is done with that: it remembers what it has carried, but not at once.
    await chat.show(bridge)
    await scene.kill_bridge()
    await scene.say(room, "one", "two", "three")
    chat.keep("bob", "where is the bridge?")
    await scene.start_bridge()
    await scene.network_hears("one", "two", "three")
    await chat.show(bridge)
    await scene.hears("where is the bridge?")
    await scene.say(room, "here")
    await scene.network_hears("here")

    assert scene.all_told() == ["hi", "one", "two", "three", "here"]
    bob, carol = ghost("bob"), ghost("carol")
    assert await scene.read(room) == [
        (bob, "bob, long ago"),
        (alice.user_id, "alice, long ago"),
        (carol, "carol, long ago"),
        (bob, "hello"),
        (alice.user_id, "hi"),
        (carol, "hi both"),
        *((alice.user_id, number) for number in ("one", "two", "three")),
        (bob, "where is the bridge?"),
        (alice.user_id, "here"),
    ]
    names = await scene.names(room)
    assert names[bob] == "bob of the grove"
    assert names.keys() >= {alice.user_id, bob, carol, BOT}

    await scene.say(room, "!grove delete-portal")
    await scene.client.has_told(seen="leave", room_id=room, who=alice.user_id)
