"""Servers that reach each other on this machine, over TLS."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.client import connected
from bench.federation.handwritten import Handwritten, running_handwritten
from bench.scenarios.subject import Subject
from bench.servers import HOST, FederationAddress
from bench.starting import Kind, new_folder, new_server
from tests.interop.trust import Trust, new_trust
from tests.postgres_server import free_port


@dataclass(frozen=True, slots=True)
class Network:
    """Starts servers that trust each other's certificates, with data below *parent*."""

    parent: Path | None
    trust: Trust
    handwritten: Handwritten
    _numbers: Iterator[int] = field(default_factory=count)

    @asynccontextmanager
    async def running(self, kind: Kind) -> AsyncIterator[Subject]:
        """A new server.

        Raises:
            NotStarted: it does not come up.
        """
        address = new_address(self.trust, f"server{next(self._numbers)}")
        with ExitStack() as stack:
            # The others, and what is written by hand, go on meanwhile.
            server = await asyncio.to_thread(
                stack.enter_context, new_server(kind, self.parent, address, starts=0)
            )
            async with connected(server.addresses) as homeserver:
                yield Subject(server, homeserver)
            await asyncio.to_thread(stack.close)


@asynccontextmanager
async def new_network(parent: Path | None) -> AsyncIterator[Network]:
    """A network with a server that is written by hand."""
    async with AsyncExitStack() as stack:
        trust = new_trust(stack.enter_context(new_folder(parent)))
        address = new_address(trust, "handwritten")
        handwritten = await stack.enter_async_context(running_handwritten(address))
        yield Network(parent, trust, handwritten)


def new_address(trust: Trust, name: str) -> FederationAddress:
    """Where a server may listen for others, with a certificate in files *name*."""
    return FederationAddress(free_port(), trust.issue(name, HOST), trust.authority_file)
