"""Look-ups, against name servers of a few lines."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tremula.infra.outbound.dns import DnsResolver
from tremula.infra.outbound.errors import ConnectFailed, NameNotFound
from tremula.infra.outbound.resolver import Addresses, SrvRecord

A, CNAME, AAAA, SRV = 1, 5, 28, 33
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def encoded(name: str) -> bytes:
    """A name as it is on the wire."""
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(name: str, kind: int, data: bytes) -> bytes:
    """A record of an answer, with a TTL of a minute."""
    return encoded(name) + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def srv(name: str, *fields: int, target: str) -> bytes:
    """An SRV record with its priority, weight and port."""
    return record(name, SRV, struct.pack("!HHH", *fields) + encoded(target))


ZONE = {
    ("plain.test", A): [record("plain.test", A, socket.inet_aton("192.0.2.1"))],
    ("plain.test", AAAA): [
        record("plain.test", AAAA, socket.inet_pton(socket.AF_INET6, "2001:db8::1"))
    ],
    ("alias.test", A): [
        record("alias.test", CNAME, encoded("plain.test")),
        record("plain.test", A, socket.inet_aton("192.0.2.1")),
    ],
    ("many.test", A): [
        record("many.test", A, bytes([192, 0, 2, number])) for number in range(20)
    ],
    ("_matrix-fed._tcp.plain.test", SRV): [
        srv("_matrix-fed._tcp.plain.test", 10, 5, 443, target="a.test"),
        srv("_matrix-fed._tcp.plain.test", 20, 0, 8448, target="b.test"),
    ],
}


@dataclass(slots=True)
class NameServer(asyncio.DatagramProtocol):
    """Answers out of ZONE; fails for ``broken.test``, knows no other names."""

    transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ANN401
        question = data[12 : data.index(b"\0", 12) + 5]
        kind = int.from_bytes(question[-4:-2])
        name = self._decoded(question[:-4])
        answers = ZONE.get((name, kind), [])
        is_known = any(known == name for known, _ in ZONE)
        code = NOERROR if is_known else NXDOMAIN
        if name.endswith("broken.test"):
            code = SERVFAIL
        head = struct.pack("!HHHHH", 0x8180 | code, 1, len(answers), 0, 0)
        self.transport.sendto(data[:2] + head + question + b"".join(answers), addr)

    @staticmethod
    def _decoded(name: bytes) -> str:
        labels: list[str] = []
        while name[0]:
            labels.append(name[1 : name[0] + 1].decode())
            name = name[name[0] + 1 :]
        return ".".join(labels).lower()


@asynccontextmanager
async def resolver_over_a_name_server() -> AsyncIterator[DnsResolver]:
    """A resolver that asks `NameServer` and nobody else."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    resolver = DnsResolver(name_servers=[f"127.0.0.1:{port}"])
    try:
        yield resolver
    finally:
        await resolver.close()
        transport.close()


async def test_a_name_has_addresses_of_both_families() -> None:
    async with resolver_over_a_name_server() as resolver:
        found = await resolver.addresses("plain.test")

    assert set(found.ips) == {"192.0.2.1", "2001:db8::1"}
    assert not found.is_alias


async def test_an_alias_is_followed_and_said_to_be_one() -> None:
    async with resolver_over_a_name_server() as resolver:
        found = await resolver.addresses("alias.test")

    assert found == Addresses(("192.0.2.1",), is_alias=True)


async def test_no_more_than_16_addresses_are_taken() -> None:
    async with resolver_over_a_name_server() as resolver:
        assert len((await resolver.addresses("many.test")).ips) == 16


async def test_srv_records_are_read() -> None:
    async with resolver_over_a_name_server() as resolver:
        found = await resolver.services("_matrix-fed._tcp.plain.test")

    assert set(found) == {
        SrvRecord(priority=10, weight=5, port=443, target="a.test"),
        SrvRecord(priority=20, weight=0, port=8448, target="b.test"),
    }


async def test_what_is_not_there_is_told_from_what_can_not_be_known() -> None:
    async with resolver_over_a_name_server() as resolver:
        assert await resolver.services("_matrix._tcp.nowhere.test") == ()
        assert await resolver.services("plain.test") == ()
        with pytest.raises(NameNotFound):
            await resolver.addresses("nowhere.test")
        with pytest.raises(ConnectFailed, match=r"looking up .*broken\.test"):
            await resolver.services("_matrix._tcp.broken.test")


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "a" * 255, "a..test", "."])
async def test_a_name_that_is_none_has_no_address(name: str) -> None:
    async with resolver_over_a_name_server() as resolver:
        with pytest.raises(ConnectFailed):
            await resolver.addresses(name)
        with pytest.raises(ConnectFailed):
            await resolver.services(f"_matrix._tcp.{name}")


async def test_the_hosts_file_of_the_machine_counts() -> None:
    resolver = DnsResolver()

    assert "127.0.0.1" in (await resolver.addresses("localhost")).ips
    await resolver.close()
