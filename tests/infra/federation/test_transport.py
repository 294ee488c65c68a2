"""Requests to servers that are found by name, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.remote import (
    Received,
    always,
    http_answer,
    running_remote,
    trusted_ca_file,
    until_hung_up,
)
from tests.fakes.resolver import FakeResolver
from tests.fakes.web import FakeWeb
from tremula.infra.federation.discovery import Discovery
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.transport import HttpTransport
from tremula.infra.federation.well_known import WellKnown
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.http import OutboundHttp
from tremula.infra.outbound.resolver import SrvRecord
from tremula.protocol.identifiers import ServerName

THEM = ServerName("them.test")
URI = "/_matrix/x/%21a?b=%2F"
ANSWER = always(http_answer(200, b"answer"))


@dataclass(slots=True)
class Network:
    """A transport, and the SRV records of `THEM`."""

    transport: HttpTransport
    resolver: FakeResolver

    def lead_to(self, *ports: int) -> None:
        """Let the DNS name these ports on loopback, to be tried in this order."""
        self.resolver.point("target.test", "127.0.0.1")
        self.resolver.srv[f"_matrix-fed._tcp.{THEM}"] = tuple(
            SrvRecord(priority=priority, weight=0, port=port, target="target.test")
            for priority, port in enumerate(ports)
        )

    async def send(
        self, method: str = "GET", *, timeout_s: float = 10, bytes_max: int = 1000
    ) -> tuple[int, bytes]:
        """Send a request to `THEM`."""
        return await self.transport.send(
            THEM,
            method,
            URI,
            headers={"Authorization": "signed"},
            body=None,
            timeout_s=timeout_s,
            bytes_max=bytes_max,
        )


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Nothing answers yet."""
    resolver, clock = FakeResolver(), FakeClock()
    http = OutboundHttp(
        resolver,
        AddressPolicy((ip_network("127.0.0.1"),)),
        trusted_ca_file=trusted_ca_file(tmp_path),
    )
    discovery = Discovery(WellKnown(FakeWeb(), clock), resolver, clock)
    yield Network(HttpTransport(discovery, http), resolver)
    await http.close()


async def _hang_up(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _stall(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")
    await until_hung_up(writer)


async def test_a_service_is_reached_under_the_name_of_the_server(
    network: Network, tmp_path: Path
) -> None:
    async with running_remote([THEM], ANSWER, tmp_path) as remote:
        network.lead_to(remote.port)
        assert await network.send() == (200, b"answer")

    [request] = remote.requests
    assert (request.uri, request.headers["host"]) == (URI, THEM)
    assert request.headers["authorization"] == "signed"
    assert remote.sni == [THEM]


async def test_a_service_with_the_certificate_of_its_target_is_refused(
    network: Network, tmp_path: Path
) -> None:
    async with running_remote(["target.test"], ANSWER, tmp_path) as remote:
        network.lead_to(remote.port)
        with pytest.raises(PeerUnreachable, match=r"them\.test: .*certificate"):
            await network.send()

    assert not remote.requests


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_where_nobody_can_be_reached_the_next_target_is_tried(
    method: str, network: Network, tmp_path: Path
) -> None:
    async with running_remote([THEM], ANSWER, tmp_path) as unused:
        pass
    async with (
        running_remote(["wrong.test"], ANSWER, tmp_path) as wrong,
        running_remote([THEM], ANSWER, tmp_path) as right,
    ):
        network.lead_to(unused.port, wrong.port, right.port)
        assert await network.send(method) == (200, b"answer")

    assert (len(wrong.requests), len(right.requests)) == (0, 1)


async def test_only_a_get_is_repeated_elsewhere_once_it_was_sent(
    network: Network, tmp_path: Path
) -> None:
    async with (
        running_remote([THEM], _hang_up, tmp_path) as first,
        running_remote([THEM], ANSWER, tmp_path) as second,
    ):
        network.lead_to(first.port, second.port)
        with pytest.raises(PeerUnreachable):
            await network.send("POST")
        assert not second.requests

        assert await network.send("GET") == (200, b"answer")
    assert [each.method for each in first.requests].count("POST") == 1


async def test_a_no_is_an_answer_and_not_asked_for_elsewhere(
    network: Network, tmp_path: Path
) -> None:
    no = always(http_answer(500, b"{}"))
    async with (
        running_remote([THEM], no, tmp_path) as first,
        running_remote([THEM], ANSWER, tmp_path) as second,
    ):
        network.lead_to(first.port, second.port)
        assert await network.send() == (500, b"{}")

    assert not second.requests


async def test_an_answer_that_is_too_large_is_not_asked_for_elsewhere(
    network: Network, tmp_path: Path
) -> None:
    async with (
        running_remote([THEM], ANSWER, tmp_path) as first,
        running_remote([THEM], ANSWER, tmp_path) as second,
    ):
        network.lead_to(first.port, second.port)
        with pytest.raises(PeerUnreachable, match="of 6 bytes"):
            await network.send(bytes_max=5)

    assert not second.requests


async def test_all_targets_together_have_the_time_of_one(
    network: Network, tmp_path: Path
) -> None:
    async with running_remote([THEM], _stall, tmp_path) as remote:
        network.lead_to(remote.port, remote.port, remote.port)
        with pytest.raises(PeerUnreachable, match=r"no answer within 0\.3 s"):
            await network.send(timeout_s=0.3)

    assert len(remote.requests) == 1


async def test_a_private_address_is_as_good_as_none(network: Network) -> None:
    network.resolver.point(THEM, "10.0.0.1")

    with pytest.raises(PeerUnreachable, match="no address that may be connected to"):
        await network.send()


async def test_a_stream_fails_as_unreachable_in_the_middle_too(
    network: Network, tmp_path: Path
) -> None:
    async def cut_off(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")
        writer.close()

    chunks: list[bytes] = []

    async def read() -> None:
        async with network.transport.stream(
            THEM, "PUT", URI, headers={}, body=b"{}", timeout_s=10, bytes_max=99
        ) as answer:
            async for chunk in answer.chunks:
                chunks.append(chunk)  # noqa: PERF401 - what came before it fails

    async with running_remote([THEM], cut_off, tmp_path) as remote:
        network.lead_to(remote.port)
        with pytest.raises(PeerUnreachable):
            await read()

    assert chunks == [b"some"]
