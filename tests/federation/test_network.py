"""The network of the tests itself."""

import asyncio

import pytest

from tests.federation.network import Federation, Letter
from tremula.infra.federation.errors import PeerUnreachable
from tremula.protocol.identifiers import ServerName

ONE = ServerName("one.test")
TWO = ServerName("two.test")


async def test_a_request_reaches_the_server_that_it_names(
    federation: Federation,
) -> None:
    await federation.start(ONE)

    status, body = await _send(federation, ONE)

    assert (status, b"versions" in body) == (200, True)
    assert [letter.origin for letter in federation.network.letters] == [TWO]


async def test_nothing_passes_a_line_that_is_cut(federation: Federation) -> None:
    await federation.start(ONE)
    federation.network.separate({ONE}, {TWO})

    with pytest.raises(PeerUnreachable):
        await _send(federation, ONE)

    federation.network.heal()
    assert (await _send(federation, ONE))[0] == 200


async def test_a_server_that_is_down_does_not_answer(federation: Federation) -> None:
    await federation.start(ONE)
    federation.network.down.add(ONE)

    with pytest.raises(PeerUnreachable):
        await _send(federation, ONE)


async def test_a_slow_or_long_answer_is_none(federation: Federation) -> None:
    federation.network.peers[ONE] = _Silent()
    with pytest.raises(PeerUnreachable, match="in time"):
        await _send(federation, ONE, timeout_s=0)

    federation.network.peers[ONE] = _Endless()
    with pytest.raises(PeerUnreachable, match="too large"):
        await _send(federation, ONE)


class _Silent:
    async def receive(self, letter: Letter) -> tuple[int, bytes]:
        await asyncio.Event().wait()
        raise AssertionError


class _Endless:
    async def receive(self, letter: Letter) -> tuple[int, bytes]:
        return 200, b"x" * 100_000


async def _send(
    federation: Federation, destination: ServerName, *, timeout_s: float = 10
) -> tuple[int, bytes]:
    return await federation.network.line(TWO).send(
        destination,
        "GET",
        "/_matrix/client/versions",
        headers={},
        body=None,
        timeout_s=timeout_s,
        bytes_max=10_000,
    )
