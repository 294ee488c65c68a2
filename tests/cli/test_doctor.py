"""`tremula doctor`: what it says of the way to a server, from outside."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from ipaddress import ip_network
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from tests.fakes.clock import FakeClock
from tests.fakes.remote import (
    by_uri,
    http_answer,
    running_remote,
    trusted_ca_file,
    validity,
)
from tests.fakes.resolver import FakeResolver
from tests.fakes.web import FakeWeb
from tremula.cli.doctor.command import reachability
from tremula.cli.doctor.world import World
from tremula.infra.certificates import make_authority
from tremula.infra.config import Config, Federation
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.http import OutboundHttp
from tremula.infra.outbound.resolver import Addresses, SrvRecord
from tremula.infra.outbound.session import load_tls
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import publish_server_keys
from tremula.protocol.signing import generate

OWN = ServerName("own.test")
WELL_KNOWN = f"https://{OWN}/.well-known/matrix/server"
CLIENTS = f"https://{OWN}/.well-known/matrix/client"
BASE_URL = "https://matrix.test"
VERSIONS = f"{BASE_URL}/_matrix/client/versions"
# Nobody has a route to it, as a machine without IPv6 has none to any IPv6 address.
UNROUTABLE = "255.255.255.255"
LOCAL = AddressPolicy((ip_network("127.0.0.1"), ip_network(UNROUTABLE)))
DAY_MS = 24 * 60 * 60 * 1000


def now_ms() -> int:
    """The time by which TLS judges certificates."""
    return time.time_ns() // 1_000_000


def fake_clock() -> FakeClock:
    """A clock at a whole second, as the header Date has it."""
    return FakeClock(now_ms() // 1000 * 1000)


def version_answer() -> bytes:
    """What a Tremula says of itself, and of the time."""
    return http_answer(
        200,
        b'{"server":{"name":"Tremula","version":"7.8"}}',
        f"Date: {formatdate(usegmt=True)}",
    )


def keys_answer(name: str = OWN, *, valid_until_ts: int | None = None) -> bytes:
    """A signed list of the keys of *name*."""
    until = now_ms() + DAY_MS if valid_until_ts is None else valid_until_ts
    keys = publish_server_keys(
        ServerName(name), generate(b"k" * 32), (), valid_until_ts=until
    )
    return http_answer(200, orjson.dumps(keys))


@dataclass(slots=True)
class Surroundings:
    """A world in which nothing answers until the test says so."""

    folder: Path
    http: OutboundHttp
    resolver: FakeResolver
    config: Config
    web: FakeWeb = field(default_factory=FakeWeb)
    clock: FakeClock = field(default_factory=fake_clock)

    async def said(self) -> list[str]:
        """What the doctor says, line by line."""
        world = World(
            resolver=self.resolver,
            policy=LOCAL,
            web=self.web,
            requests=self.http,
            tls=load_tls(self.folder / "ca.pem"),
            clock=self.clock,
        )
        return [str(finding) async for finding in reachability(self.config, world)]

    async def said_of(self, subject: str) -> str:
        """The only line on *subject*, or else all of them."""
        lines = await self.said()
        found = [line for line in lines if line[7:].startswith(subject)]
        return "\n".join(found or lines)

    @asynccontextmanager
    async def server(
        self, host: str = OWN, **answers: bytes
    ) -> AsyncIterator["Surroundings"]:
        """Run a server with a certificate for *host*, to which SRV records lead."""
        given = {"server": keys_answer(), "version": version_answer(), **answers}
        async with running_remote([host], by_uri(**given), self.folder) as remote:
            self.lead_to(remote.port)
            yield self

    def lead_to(self, port: int) -> None:
        """Let the DNS name this port on loopback."""
        self.resolver.point("target.test", "127.0.0.1")
        record = SrvRecord(priority=1, weight=0, port=port, target="target.test")
        self.resolver.srv[f"_matrix-fed._tcp.{OWN}"] = (record,)

    def configure(
        self, federation: Federation, *, public_base_url: str | None = None
    ) -> None:
        """Set what the checks look at."""
        self.config = replace(
            self.config, federation=federation, public_base_url=public_base_url
        )


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[Surroundings]:
    """Nothing is configured but the name."""
    resolver = FakeResolver()
    http = OutboundHttp(
        resolver,
        LOCAL,
        trusted_ca_file=trusted_ca_file(tmp_path),
    )
    yield Surroundings(tmp_path, http, resolver, Config(server_name=OWN))
    await http.close()


async def test_a_server_that_others_reach_is_well(around: Surroundings) -> None:
    """By its well-known, with a certificate for the delegate."""
    async with running_remote(
        ["matrix.test"],
        by_uri(server=keys_answer(), version=version_answer()),
        around.folder,
    ) as remote:
        delegate = f"matrix.test:{remote.port}"
        around.resolver.point("matrix.test", "127.0.0.1")
        around.web.put(WELL_KNOWN, orjson.dumps({"m.server": delegate}))
        around.web.put(
            CLIENTS,
            orjson.dumps({"m.homeserver": {"base_url": BASE_URL}}),
            access_control_allow_origin="*",
        )
        around.web.put(VERSIONS, b"{}")
        around.configure(
            Federation(delegate=ServerName(delegate)), public_base_url=BASE_URL
        )
        lines = await around.said()

    assert [line.split()[0] for line in lines] == ["ok"] * len(lines), lines
    said = "\n".join(lines)
    for part in (
        f"{WELL_KNOWN} leads to {delegate}",
        f"127.0.0.1:{remote.port} shows one for matrix.test, valid until ",
        generate(b"k" * 32).key_id,
        "Tremula 7.8 answers",
        f"agrees with that of {OWN}",
        f"{CLIENTS} leads to {BASE_URL}",
        f"{VERSIONS} answers",
    ):
        assert part in said


async def test_a_missing_delegation_is_wrong_only_if_configured(
    around: Surroundings,
) -> None:
    assert (await around.said_of("delegation")).startswith("note ")

    around.configure(Federation(delegate=ServerName("matrix.test:443")))
    assert "gives no valid answer: pass it on" in await around.said_of("delegation")

    around.web.put(WELL_KNOWN, b'{"m.server":"old.test"}')
    said = await around.said_of("delegation")
    assert said.startswith("WRONG ")
    assert "leads to old.test, but federation.delegate is matrix.test:443" in said


async def test_a_name_with_a_port_needs_no_delegation(around: Surroundings) -> None:
    around.config = replace(around.config, server_name=ServerName("own.test:9"))

    assert "delegation" not in "".join(await around.said())
    assert not around.web.asked


async def test_a_name_without_an_address_is_told(around: Surroundings) -> None:
    said = await around.said_of("address")

    assert said.startswith("WRONG ")
    assert "own.test has no address: give that name an A or AAAA record" in said


async def test_srv_records_that_lead_nowhere_are_told(around: Surroundings) -> None:
    none = SrvRecord(priority=1, weight=0, port=1, target=".")
    around.resolver.srv[f"_matrix-fed._tcp.{OWN}"] = (none,)

    assert "correct the SRV records" in await around.said_of("address")


async def test_a_private_address_is_told(around: Surroundings) -> None:
    around.resolver.point(OWN, "10.0.0.1")

    said = await around.said_of("address")
    assert said.startswith("WRONG ")
    assert "own.test is 10.0.0.1 here, a private address" in said


async def test_a_port_where_nobody_listens_is_told(around: Surroundings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    around.lead_to(port)

    said = await around.said_of("address")
    assert said.startswith("WRONG ")
    assert f"127.0.0.1:{port} can't be connected to (Connection refused" in said
    assert "signing key" not in said


async def test_an_address_that_can_not_be_tried_is_wrong_if_there_is_no_other(
    around: Surroundings,
) -> None:
    async with around.server():
        around.resolver.names["target.test"] = [Addresses((UNROUTABLE,))]
        alone = await around.said_of("address")
        around.resolver.names["target.test"] = [Addresses((UNROUTABLE, "127.0.0.1"))]
        beside = await around.said_of("address")

    tried = f"{UNROUTABLE}:"
    assert alone.startswith(f"note   address         {tried}")
    assert "WRONG  address         nothing of target.test can be tried" in alone
    assert beside.startswith(f"note   address         {tried}")
    assert "WRONG" not in beside


async def test_a_port_without_tls_is_told(around: Surroundings) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http_answer(400))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        around.lead_to(server.sockets[0].getsockname()[1])
        said = await around.said_of("address")

    assert "can't be connected to (no TLS" in said


async def test_the_certificate_of_another_name_is_told(around: Surroundings) -> None:
    """The target of an SRV record is not who is asked for."""
    async with around.server("target.test"):
        said = await around.said_of("certificate")

    assert said.startswith("WRONG ")
    assert "not good for own.test (Hostname mismatch" in said


async def test_the_certificate_of_an_unknown_authority_is_told(
    around: Surroundings,
) -> None:
    async with around.server():
        another = make_authority("Another", validity())
        (around.folder / "ca.pem").write_bytes(another.certificate_pem())
        said = await around.said_of("certificate")

    assert "(unable to get local issuer certificate)" in said


async def test_a_certificate_that_was_not_renewed_is_told(
    around: Surroundings,
) -> None:
    around.clock.advance_ms(DAY_MS * 22 // 24)
    async with around.server():
        said = await around.said_of("certificate")

    assert said.startswith("WRONG ")
    assert "0 days: renew it" in said


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (keys_answer("other.test"), "(the keys are those of another server)"),
        (keys_answer(valid_until_ts=now_ms() - 1), "has expired: let no proxy keep"),
        (http_answer(200, b"<html>"), "is no list of keys of own.test"),
        (http_answer(200, b"[]"), "is no list of keys of own.test (not an object)"),
        (http_answer(404), "answers with status 404: have /_matrix passed on"),
        (b"nonsense\r\n\r\n", "does not answer ("),
    ],
)
async def test_what_is_no_list_of_our_keys_is_told(
    answer: bytes, expected: str, around: Surroundings
) -> None:
    async with around.server(server=answer):
        said = await around.said_of("signing key")

    assert said.startswith("WRONG ")
    assert expected in said


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http_answer(200, b"[]"), "answers something else: have /_matrix passed on"),
        (http_answer(502), "answers with status 502"),
    ],
)
async def test_what_is_no_federation_api_is_told(
    answer: bytes, expected: str, around: Surroundings
) -> None:
    async with around.server(version=answer):
        said = await around.said_of("federation API")

    assert said.startswith("WRONG ")
    assert expected in said


@pytest.mark.parametrize(
    ("off_s", "expected"),
    [
        (-40, "WRONG  clock           40 s ahead of that of own.test: have it set"),
        (40, "WRONG  clock           40 s behind that of own.test: have it set"),
        (5, "ok     clock           agrees with that of own.test"),
    ],
)
async def test_a_wrong_clock_is_told(
    off_s: int, expected: str, around: Surroundings
) -> None:
    date = formatdate(around.clock.now_ms() // 1000 + off_s, usegmt=True)
    async with around.server(version=http_answer(200, b"{}", f"Date: {date}")):
        assert expected in await around.said_of("clock")


async def test_an_answer_without_a_time_is_no_failure(around: Surroundings) -> None:
    async with around.server(version=http_answer(200, b"{}", "Date: noon")):
        said = await around.said_of("clock")

    assert said == "note   clock           own.test does not say what time it is"


async def test_a_notary_is_asked_for_the_time_first(around: Surroundings) -> None:
    around.configure(Federation(notaries=(ServerName("notary.test"),)))

    said = await around.said_of("clock")
    assert said.startswith("note ")
    assert "notary.test can't be asked for the time" in said


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, b"{}", "answers with status 404: have it answered by Tremula"),
        (200, b"[]", "answers with something else"),
        (200, b'{"m.homeserver":{"base_url":"https://old.test"}}', "out of date"),
        (
            200,
            b'{"m.homeserver":{"base_url":"https://matrix.test/"}}',
            "can't be read by clients in browsers",
        ),
    ],
)
async def test_clients_that_are_led_astray_are_told(
    status: int, body: bytes, expected: str, around: Surroundings
) -> None:
    around.configure(Federation(enabled=False), public_base_url=BASE_URL)
    around.web.put(CLIENTS, body, status)
    around.web.put(VERSIONS, b"{}", 502)

    _, well_known, api = await around.said()
    assert well_known.startswith("WRONG  clients")
    assert expected in well_known
    assert api.startswith("WRONG  clients")
    assert "status 502: have /_matrix passed on" in api


async def test_pages_that_clients_do_not_get_are_told(around: Surroundings) -> None:
    around.configure(Federation(enabled=False), public_base_url=BASE_URL)

    _, *lines = await around.said()
    assert [line[:5] for line in lines] == ["WRONG", "WRONG"]
    assert all("does not answer (refused)" in line for line in lines)


async def test_a_server_without_federation_is_not_looked_for(
    around: Surroundings,
) -> None:
    around.configure(Federation(enabled=False))

    federation, clients = await around.said()
    assert federation.startswith("note   federation      federation.enabled is false")
    assert clients.startswith("note   clients         public_base_url is not set")
    assert not around.resolver.asked
