"""Servers that run as long as the tests, pairs of them, and their users."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from tests.interop.gate import Gate
from tests.interop.peer import Peer
from tests.interop.synapse_peer import SynapsePeer
from tests.interop.tremula_peer import TremulaPeer
from tests.interop.trust import Trust, new_trust
from tests.interop.user import User, register

# Room versions that differ in their rules.
VERSIONS: Final = ("6", "10", "11", "12")

Register = Callable[[Peer, str], Awaitable[User]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Whose room it is, and who is a guest there."""

    host: Peer
    guest: Peer


@dataclass(frozen=True, slots=True)
class Peers:
    """All servers; *synapse* only where there is an environment with it."""

    tremulas: tuple[TremulaPeer, TremulaPeer, TremulaPeer]
    synapse: SynapsePeer | None


@dataclass(frozen=True, slots=True)
class Partition:
    """The ways between some servers."""

    peers: tuple[Peer, ...]

    def begin(self) -> None:
        """Let none of them reach another."""
        for peer in self.peers:
            peer.gate.shut()

    def heal(self) -> None:
        """Let them reach each other again."""
        for peer in self.peers:
            peer.gate.open()


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    """The authority that the servers trust."""
    return new_trust(tmp_path_factory.mktemp("trust"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def peers(
    trust: Trust, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Peers]:
    """Three Tremulas and a Synapse, running; the Tremulas' logs must be clean."""
    folder = tmp_path_factory.mktemp("peers")
    environment = os.environ.get("SYNAPSE_VENV")
    async with AsyncExitStack() as stack:

        async def new_gate() -> Gate:
            gate = Gate()
            await gate.listen()
            stack.push_async_callback(gate.close)
            return gate

        async def new_tremula(name: str) -> TremulaPeer:
            peer = TremulaPeer(folder / name, trust, await new_gate())
            stack.push_async_callback(peer.clean_up)
            await peer.start()
            return peer

        async def new_synapse(python: Path) -> SynapsePeer:
            peer = SynapsePeer(folder / "synapse", trust, await new_gate(), python)
            stack.push_async_callback(peer.clean_up)
            await peer.start()
            return peer

        peers = Peers(
            (
                await new_tremula("tremula"),
                await new_tremula("tremula2"),
                await new_tremula("tremula3"),
            ),
            await new_synapse(Path(environment) / "bin/python")
            if environment
            else None,
        )
        yield peers
        for tremula in peers.tremulas:
            await tremula.stop()
            tremula.assert_without_complaints()


@pytest.fixture(params=["tremula-synapse", "synapse-tremula", "tremula-tremula"])
def pair(request: pytest.FixtureRequest, peers: Peers) -> Pair:
    """Each server as the host of the other's users."""
    tremula, second_tremula, _ = peers.tremulas
    if request.param == "tremula-tremula":
        return Pair(host=tremula, guest=second_tremula)
    if peers.synapse is None:
        pytest.skip("SYNAPSE_VENV names no environment with Synapse")
    if request.param == "tremula-synapse":
        return Pair(host=tremula, guest=peers.synapse)
    return Pair(host=peers.synapse, guest=tremula)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Each of them."""
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def register_at() -> AsyncIterator[Register]:
    """Makes accounts; their connections are closed with the test."""
    async with ClientSession() as session:

        async def make(peer: Peer, name: str) -> User:
            return await register(session, peer, name)

        yield make


@pytest_asyncio.fixture(loop_scope="session")
async def alice(pair: Pair, register_at: Register) -> User:
    """Somebody at the host: the rooms are hers."""
    return await register_at(pair.host, "alice")


@pytest_asyncio.fixture(loop_scope="session")
async def bob(pair: Pair, register_at: Register) -> User:
    """Somebody at the guest."""
    return await register_at(pair.guest, "bob")


@pytest_asyncio.fixture(loop_scope="session")
async def carol(peers: Peers, register_at: Register) -> User:
    """Somebody at a third server, which is always a Tremula."""
    return await register_at(peers.tremulas[2], "carol")


@pytest.fixture
def partition(pair: Pair) -> Iterator[Partition]:
    """Cuts the pair off from each other; heals with the test at the latest."""
    partition = Partition((pair.host, pair.guest))
    yield partition
    partition.heal()
