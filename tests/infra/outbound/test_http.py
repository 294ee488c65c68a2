"""Requests over real sockets: whom they reach, what they cost, where they may lead."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from tests.fakes.remote import (
    Answer,
    Received,
    always,
    by_uri,
    http_answer,
    running_remote,
    trusted_ca_file,
    until_hung_up,
    validity,
)
from tests.fakes.resolver import FakeResolver
from tests.infra.outbound.conftest import LOOPBACK
from tremula.infra.certificates import make_authority
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.endpoint import Endpoint, Limits, OutboundRequest
from tremula.infra.outbound.errors import (
    AddressRefused,
    AnswerTooLarge,
    BadRedirect,
    BadUrl,
    ConnectFailed,
    NameNotFound,
    RequestFailed,
    TimedOut,
)
from tremula.infra.outbound.http import OutboundHttp

LIMITS = Limits(bytes_max=100_000, timeout_s=10, idle_s=5)
GET = OutboundRequest("GET", "/path%2Fa?b=%20c")
OK = http_answer(200, b"fine", "X-Kind: good")


def endpoint(port: int, host: str = "remote.test", tls_name: str = "") -> Endpoint:
    """Where a remote server listens."""
    name = tls_name or host
    return Endpoint(host=host, port=port, tls_name=name, host_header=f"{name}:1")


async def test_a_request_arrives_as_it_was_made(
    http: OutboundHttp, tmp_path: Path
) -> None:
    request = OutboundRequest("PUT", GET.uri, {"X-Mine": "yes"}, b"body")
    async with running_remote(["remote.test"], always(OK), tmp_path) as remote:
        response = await http.request(endpoint(remote.port), request, LIMITS)

    [received] = remote.requests
    assert (response.status, response.body) == (200, b"fine")
    assert response.headers["x-kind"] == "good"
    assert (received.method, received.uri, received.body) == ("PUT", GET.uri, b"body")
    assert received.headers["host"] == "remote.test:1"
    assert received.headers["x-mine"] == "yes"
    assert received.headers["accept-encoding"] == "gzip"


async def test_the_certificate_is_that_of_the_tls_name_not_of_the_host(
    http: OutboundHttp, tmp_path: Path
) -> None:
    async with running_remote(["name.test"], always(OK), tmp_path) as remote:
        await http.request(endpoint(remote.port, tls_name="name.test"), GET, LIMITS)
        with pytest.raises(ConnectFailed, match=r"remote\.test"):
            await http.request(endpoint(remote.port), GET, LIMITS)

    assert remote.sni == ["name.test", "remote.test"]
    assert len(remote.requests) == 1


async def test_a_certificate_for_the_ip_address_is_accepted(
    http: OutboundHttp, tmp_path: Path
) -> None:
    async with running_remote(["127.0.0.1"], always(OK), tmp_path) as remote:
        response = await http.request(endpoint(remote.port, "127.0.0.1"), GET, LIMITS)

    assert response.status == 200
    assert remote.sni == [None]


async def test_a_certificate_of_an_unknown_authority_is_refused(
    http: OutboundHttp, tmp_path: Path
) -> None:
    stranger = make_authority("Stranger", validity())
    async with running_remote(
        ["remote.test"], always(OK), tmp_path, signed_by=stranger
    ) as remote:
        with pytest.raises(ConnectFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await http.request(endpoint(remote.port), GET, LIMITS)

    assert not remote.requests


async def test_a_connection_is_used_again_for_the_same_tls_name_only(
    http: OutboundHttp, tmp_path: Path
) -> None:
    """Else a server could answer for any name that points to its address."""
    async with running_remote(["a.test", "b.test"], always(OK), tmp_path) as remote:
        for name in ("a.test", "a.test", "b.test"):
            await http.request(endpoint(remote.port, tls_name=name), GET, LIMITS)

        assert remote.connections == 2
    assert remote.sni == ["a.test", "b.test"]


@pytest.mark.parametrize("host", ["remote.test", "127.0.0.1", "::1"])
async def test_a_private_address_is_refused_by_default(
    host: str, resolver: FakeResolver, tmp_path: Path
) -> None:
    http = OutboundHttp(resolver, AddressPolicy())
    async with running_remote([host], always(OK), tmp_path) as remote:
        with pytest.raises(AddressRefused):
            await http.request(endpoint(remote.port, host), GET, LIMITS)

        assert remote.connections == 0
    await http.close()


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"])
async def test_an_address_in_disguise_is_no_way_around_the_policy(
    host: str, tmp_path: Path
) -> None:
    http = OutboundHttp(FakeResolver(), AddressPolicy())
    async with running_remote([host], always(OK), tmp_path) as remote:
        with pytest.raises((BadUrl, ConnectFailed)):
            await http.request(endpoint(remote.port, host), GET, LIMITS)

        assert remote.connections == 0
    await http.close()


async def test_a_name_that_resolves_differently_the_second_time_gains_nothing(
    http: OutboundHttp, resolver: FakeResolver, tmp_path: Path
) -> None:
    """DNS rebinding: what was checked is what is connected to, without asking again."""
    resolver.point("rebinding.test", "127.0.0.1")
    resolver.point("rebinding.test", "10.0.0.1")
    answer = always(http_answer(200, b"fine", "Connection: close"))
    async with running_remote(["rebinding.test"], answer, tmp_path) as remote:
        target = endpoint(remote.port, "rebinding.test")
        await http.request(target, GET, LIMITS)

    assert resolver.asked == ["rebinding.test"]
    with pytest.raises(AddressRefused):
        await http.request(target, GET, LIMITS)


async def test_of_several_addresses_only_permitted_ones_are_tried(
    http: OutboundHttp, resolver: FakeResolver, tmp_path: Path
) -> None:
    resolver.point("mixed.test", "127.0.0.2", "127.0.0.1", "::1")
    async with running_remote(["mixed.test"], always(OK), tmp_path) as remote:
        response = await http.request(endpoint(remote.port, "mixed.test"), GET, LIMITS)

    assert response.status == 200


async def test_a_name_without_an_address_and_a_closed_port_say_so(
    http: OutboundHttp, tmp_path: Path
) -> None:
    async with running_remote(["remote.test"], always(OK), tmp_path) as remote:
        pass

    with pytest.raises(NameNotFound, match=r"nowhere\.test has no address"):
        await http.request(endpoint(1, "nowhere.test"), GET, LIMITS)
    with pytest.raises(ConnectFailed, match="Connect call failed"):
        await http.request(endpoint(remote.port), GET, LIMITS)


async def _endless_body(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + b"a" * 1024 + b"\r\n")
        await writer.drain()


async def _slow_body(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
    await until_hung_up(writer)


async def _no_head(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await until_hung_up(writer)


async def _cut_off(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
    writer.close()


async def _endless_head(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-A: " + b"a" * 1000 + b"\r\n")
        await writer.drain()


HOSTILE = {
    "endless body": (_endless_body, AnswerTooLarge),
    "endless head": (_endless_head, RequestFailed),
    "huge header": (
        always(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n"),
        RequestFailed,
    ),
    "announced as too large": (
        always(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n"),
        AnswerTooLarge,
    ),
    "one byte too large": (always(http_answer(200, b"a" * 100_001)), AnswerTooLarge),
    "cut off": (_cut_off, RequestFailed),
    "no HTTP": (always(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"), RequestFailed),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_answer_fails_within_its_bounds(
    name: str, http: OutboundHttp, tmp_path: Path
) -> None:
    answer, error = HOSTILE[name]
    async with running_remote(["remote.test"], answer, tmp_path) as remote:
        with pytest.raises(error):
            await http.request(endpoint(remote.port), GET, LIMITS)


@pytest.mark.parametrize("answer", [_slow_body, _no_head])
@pytest.mark.parametrize(
    "limits",
    [
        Limits(bytes_max=1000, timeout_s=10, idle_s=0.05),
        Limits(bytes_max=1000, timeout_s=0.2, idle_s=10),
    ],
    ids=["idle", "whole"],
)
async def test_a_slow_loris_answer_times_out(
    answer: Answer, limits: Limits, http: OutboundHttp, tmp_path: Path
) -> None:
    async with running_remote(["remote.test"], answer, tmp_path) as remote:
        with pytest.raises(TimedOut):
            await http.request(endpoint(remote.port), GET, limits)


async def test_an_answer_of_just_the_most_bytes_is_read(
    http: OutboundHttp, tmp_path: Path
) -> None:
    answer = always(http_answer(200, b"a" * LIMITS.bytes_max))
    async with running_remote(["remote.test"], answer, tmp_path) as remote:
        response = await http.request(endpoint(remote.port), GET, LIMITS)

    assert len(response.body) == LIMITS.bytes_max


async def test_a_stream_gives_what_has_come_before_the_rest_is_there(
    http: OutboundHttp, tmp_path: Path
) -> None:
    go_on = asyncio.Event()

    async def in_two(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst")
        await go_on.wait()
        writer.write(b"last")

    async with (
        running_remote(["remote.test"], in_two, tmp_path) as remote,
        http.stream(endpoint(remote.port), GET, LIMITS) as response,
    ):
        assert await anext(response.chunks) == b"first"
        go_on.set()
        assert [chunk async for chunk in response.chunks] == [b"last"]


async def test_a_stream_that_is_left_early_ends_its_connection(
    http: OutboundHttp, tmp_path: Path
) -> None:
    """What is left of its answer can't be taken for the next one's."""
    slow = OutboundRequest("GET", "/slow")

    async def slow_at_first(request: Received, writer: asyncio.StreamWriter) -> None:
        await (_slow_body if request.uri == "/slow" else always(OK))(request, writer)

    async with running_remote(["remote.test"], slow_at_first, tmp_path) as remote:
        async with http.stream(endpoint(remote.port), slow, LIMITS) as response:
            assert await anext(response.chunks) == b"some"
        await http.request(endpoint(remote.port), GET, LIMITS)

        assert remote.connections == 2


async def test_redirects_are_followed_where_asked_for(
    http: OutboundHttp, tmp_path: Path
) -> None:
    answer = by_uri(
        start=http_answer(302, b"", "Location: /b/next"),
        next=http_answer(307, b"", "Location: end?x"),
        **{"end?x": OK},
    )
    async with running_remote(["remote.test"], answer, tmp_path) as remote:
        url = f"https://remote.test:{remote.port}/a/start"
        followed = await http.get(url, LIMITS, redirects_max=2)
        with pytest.raises(BadRedirect, match="more than 1 redirects"):
            await http.get(url, LIMITS, redirects_max=1)

    assert followed.body == b"fine"
    assert [request.uri for request in remote.requests[:3]] == [
        "/a/start",
        "/b/next",
        "/b/end?x",
    ]


async def test_a_redirect_loop_ends(http: OutboundHttp, tmp_path: Path) -> None:
    answer = always(http_answer(301, b"", "Location: /again"))
    async with running_remote(["remote.test"], answer, tmp_path) as remote:
        with pytest.raises(BadRedirect):
            await http.get(
                f"https://remote.test:{remote.port}/", LIMITS, redirects_max=4
            )

    assert len(remote.requests) == 5


BAD_TARGETS = {
    "https://127.0.0.2/": AddressRefused,
    "https://[::ffff:127.0.0.1]/": AddressRefused,
    "https://metadata.test/": AddressRefused,
    "http://remote.test/": BadRedirect,
    "ftp://remote.test/": BadUrl,
    "file:///etc/passwd": BadUrl,
    "https://user@remote.test/": BadUrl,
    "https://remote.test:99999/": BadUrl,
    "https://[::1/": BadRedirect,
    "https://exämple.test/": BadUrl,
    "https://remote.test/" + "a" * 2048: BadUrl,
}


@pytest.mark.parametrize("location", BAD_TARGETS)
async def test_a_redirect_to_where_none_may_go_is_refused(
    location: str, http: OutboundHttp, resolver: FakeResolver, tmp_path: Path
) -> None:
    resolver.point("metadata.test", "169.254.169.254")
    answer = always(http_answer(302, b"", f"Location: {location}"))
    async with running_remote(["remote.test"], answer, tmp_path) as remote:
        with pytest.raises(BAD_TARGETS[location]):
            await http.get(
                f"https://remote.test:{remote.port}/", LIMITS, redirects_max=4
            )

    assert len(remote.requests) == 1


def test_it_works_on_the_event_loop_of_the_server(tmp_path: Path) -> None:
    """The server runs on uvloop, whose TLS and sockets are its own."""

    async def main() -> None:
        resolver = FakeResolver()
        resolver.point("remote.test", "127.0.0.1")
        http = OutboundHttp(
            resolver, LOOPBACK, trusted_ca_file=trusted_ca_file(tmp_path)
        )
        async with running_remote(["remote.test"], always(OK), tmp_path) as remote:
            response = await http.request(endpoint(remote.port), GET, LIMITS)
            assert response.body == b"fine"
            await http.close()

    uvloop.run(main())


def test_a_server_that_asks_nobody_does_not_load_aiohttp() -> None:
    """It takes 15 MB and a quarter of a second."""
    program = (
        "import sys; import tremula.app, tremula.infra.outbound.dns,"
        " tremula.infra.federation.client, tremula.infra.federation.transport;"
        " sys.exit('aiohttp' in sys.modules or 'aiodns' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
