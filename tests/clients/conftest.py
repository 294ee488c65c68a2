"""A server to talk to over a socket, and people who do."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from tests.clients.nio_user import NioUser, register
from tests.homeserver import Homeserver


class Register(Protocol):
    """Makes an account; its client is closed with the test."""

    async def __call__(self, name: str, /) -> NioUser: ...


@pytest.fixture
async def nio_user(homeserver: Homeserver) -> AsyncIterator[Register]:
    """Registers users of matrix-nio."""
    async with AsyncExitStack() as stack:

        async def make(name: str) -> NioUser:
            user = await register(homeserver.url, name)
            stack.push_async_callback(user.client.close)
            return user

        yield make
