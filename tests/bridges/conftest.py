"""A homeserver that knows bridges, and where it reaches them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import orjson
import pytest

from tests.bridges.irc_network import IrcNetwork, find_ngircd, running_irc_network
from tests.bridges.matrix_user import MatrixUser, registered
from tests.conftest import DatabaseSource
from tests.homeserver import Homeserver, running_homeserver
from tests.interop.gate import Gate


class Serve(Protocol):
    """Starts a homeserver that has loaded these registrations.

    Each of its users may add a bridge of their own as well.
    """

    async def __call__(self, *registrations: Path) -> Homeserver: ...


class Register(Protocol):
    """Makes an account; its client is closed with the test."""

    async def __call__(self, homeserver: Homeserver, name: str, /) -> MatrixUser: ...


@pytest.fixture
async def stack(database_source: DatabaseSource) -> AsyncIterator[AsyncExitStack]:
    """What ends with the test, the last first, and all of it before the database."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def serve(
    database_source: DatabaseSource, tmp_path: Path, stack: AsyncExitStack
) -> Serve:
    async def serve(*registrations: Path) -> Homeserver:
        files = orjson.dumps([str(path) for path in registrations]).decode()
        return await stack.enter_async_context(
            running_homeserver(
                tmp_path / "homeserver",
                database_source,
                {
                    "TREMULA_APPSERVICES__FILES": files,
                    "TREMULA_APPSERVICES__USERS_MAY_ADD": "1",
                },
            )
        )

    return serve


@pytest.fixture
async def register(stack: AsyncExitStack) -> Register:
    async def register(homeserver: Homeserver, name: str) -> MatrixUser:
        return await stack.enter_async_context(registered(homeserver.url, name))

    return register


@pytest.fixture
async def gate(stack: AsyncExitStack) -> Gate:
    """The way from the homeserver to a bridge."""
    gate = Gate()
    await gate.listen()
    stack.push_async_callback(gate.close)
    return gate


@pytest.fixture
async def irc(tmp_path: Path, stack: AsyncExitStack) -> IrcNetwork:
    if find_ngircd() is None:
        pytest.skip("ngircd is not installed: on Debian and Ubuntu, apt install ngircd")
    return await stack.enter_async_context(running_irc_network(tmp_path / "irc"))
