"""SS getWellKnown: what is believed, for how long, and what it may cost."""

import asyncio
from dataclasses import dataclass
from email.utils import formatdate
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.remote import (
    Answer,
    Received,
    always,
    by_uri,
    http_answer,
    running_remote,
    trusted_ca_file,
)
from tests.fakes.resolver import FakeResolver
from tests.fakes.web import FakeWeb
from tremula.infra.federation.well_known import WellKnown
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.endpoint import Limits, OutboundResponse
from tremula.infra.outbound.http import OutboundHttp

URL = "https://example.org/.well-known/matrix/server"
VALID = b'{"m.server":"matrix.example.org:443"}'
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


async def asked_again_after(
    web: FakeWeb, clock: FakeClock, known: WellKnown, ms: int
) -> bool:
    """Whether the page is fetched once more after *ms*, and not just before."""
    await known.find_delegate("example.org")
    fetched = len(web.asked)
    clock.advance_ms(ms - 1)
    await known.find_delegate("example.org")
    assert len(web.asked) == fetched, "asked again too early"
    clock.advance_ms(1)
    await known.find_delegate("example.org")
    return len(web.asked) == fetched + 1


LIFETIMES = [
    ({}, 24 * HOUR_MS),
    ({"cache_control": "max-age=7200"}, 2 * HOUR_MS),
    ({"cache_control": "public, Max-Age=7200"}, 2 * HOUR_MS),
    ({"cache_control": "max-age=9999999999"}, 48 * HOUR_MS),
    ({"cache_control": "max-age=" + "9" * 5000}, 48 * HOUR_MS),
    ({"cache_control": "max-age=0"}, 5 * MINUTE_MS),
    ({"cache_control": "no-store, max-age=7200"}, 5 * MINUTE_MS),
    ({"cache_control": "x-max-age=1"}, 24 * HOUR_MS),
    ({"expires": formatdate(1_782_000_000 + 7200, usegmt=True)}, 2 * HOUR_MS),
    ({"expires": "0"}, 5 * MINUTE_MS),
    ({"expires": "Thu, 01 Jan 99999 00:00:00 GMT"}, 5 * MINUTE_MS),
]


@pytest.mark.parametrize(("headers", "lifetime_ms"), LIFETIMES)
async def test_an_answer_is_kept_as_its_headers_say_within_bounds(
    headers: dict[str, str], lifetime_ms: int
) -> None:
    web, clock = FakeWeb(), FakeClock()
    web.put(URL, VALID, 200, **headers)
    known = WellKnown(web, clock)

    assert await known.find_delegate("example.org") == "matrix.example.org:443"
    assert await asked_again_after(web, clock, known, lifetime_ms)


async def test_failures_are_asked_for_less_and_less_often_up_to_an_hour() -> None:
    web, clock = FakeWeb(), FakeClock()
    known = WellKnown(web, clock)

    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        assert await asked_again_after(web, clock, known, minutes * MINUTE_MS)


async def test_a_success_ends_the_backoff() -> None:
    web, clock = FakeWeb(), FakeClock()
    known = WellKnown(web, clock)
    for _ in range(5):
        await known.find_delegate("example.org")
        clock.advance_ms(HOUR_MS)
    web.put(URL, VALID)
    assert await known.find_delegate("example.org")
    clock.advance_ms(24 * HOUR_MS)
    web.pages.clear()
    assert await known.find_delegate("example.org") is None

    assert await asked_again_after(web, clock, known, MINUTE_MS)


INVALID = {
    "not JSON": b"<html>",
    "a list": b"[]",
    "no key": b"{}",
    "a number": b'{"m.server":1}',
    "no server name": b'{"m.server":"https://x"}',
    "a path": b'{"m.server":"x/y"}',
    "a space": b'{"m.server":"x y"}',
    "empty": b'{"m.server":""}',
    "port too large": b'{"m.server":"x:65536"}',
    "key twice": b'{"m.server":"a","m.server":"b"}',
    "deep": b'{"m.server":"a","x":' + b"[" * 50 + b"]" * 50 + b"}",
    "not UTF-8": b'{"m.server":"\xff"}',
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_answer_is_none(name: str) -> None:
    web = FakeWeb()
    web.put(URL, INVALID[name])

    assert await WellKnown(web, FakeClock()).find_delegate("example.org") is None


@pytest.mark.parametrize("status", [201, 204, 304, 404, 500])
async def test_only_status_200_is_an_answer(status: int) -> None:
    web = FakeWeb()
    web.put(URL, VALID, status)

    assert await WellKnown(web, FakeClock()).find_delegate("example.org") is None


async def test_many_at_once_ask_once() -> None:
    web = FakeWeb()
    web.put(URL, VALID)
    known = WellKnown(web, FakeClock())

    await asyncio.gather(*(known.find_delegate("example.org") for _ in range(50)))

    assert web.asked == [URL]


async def test_what_is_remembered_has_a_bound() -> None:
    """Anybody can have a server look up any number of names."""
    known = WellKnown(FakeWeb(), FakeClock())
    for number in range(30_000):
        await known.find_delegate(f"{number}.example.org")

    assert known.remembered_count < 25_000


@dataclass(slots=True)
class OnPort:
    """Implements ``Web`` over real sockets, another port in the place of 443."""

    http: OutboundHttp
    port: int

    async def get(
        self, url: str, limits: Limits, *, redirects_max: int = 0
    ) -> OutboundResponse:
        """GET from the port."""
        moved = url.replace("remote.test/", f"remote.test:{self.port}/", 1)
        return await self.http.get(moved, limits, redirects_max=redirects_max)


async def delegate_of(answer: Answer, folder: Path) -> str | None:
    """What is made of *answer* from a real server."""
    resolver = FakeResolver()
    resolver.point("remote.test", "127.0.0.1")
    resolver.point("inside.test", "10.0.0.1")
    policy = AddressPolicy((ip_network("127.0.0.1"),))
    http = OutboundHttp(resolver, policy, trusted_ca_file=trusted_ca_file(folder))
    async with running_remote(["remote.test"], answer, folder) as remote:
        known = WellKnown(OnPort(http, remote.port), FakeClock())
        delegate = await known.find_delegate("remote.test")
        await http.close()
    return delegate


async def test_it_is_followed_over_redirects_whatever_its_content_type(
    tmp_path: Path,
) -> None:
    answer = by_uri(
        server=http_answer(302, b"", "Location: /moved"),
        moved=http_answer(200, VALID, "Content-Type: image/png"),
    )

    assert await delegate_of(answer, tmp_path) == "matrix.example.org:443"


async def _huge(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 10_000)
        await writer.drain()


async def test_cve_2021_21274_a_huge_file_is_not_read(tmp_path: Path) -> None:
    async def redirected(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.uri == "/huge":
            await _huge(request, writer)
        writer.write(http_answer(302, b"", "Location: /huge"))

    assert await delegate_of(_huge, tmp_path) is None
    assert await delegate_of(redirected, tmp_path) is None


@pytest.mark.parametrize(
    ("size", "expected"),
    [(50 * 1024, "matrix.example.org:443"), (50 * 1024 + 1, None)],
)
async def test_50_kib_are_read_and_no_byte_more(
    size: int, expected: str | None, tmp_path: Path
) -> None:
    answer = always(http_answer(200, VALID.ljust(size)))

    assert await delegate_of(answer, tmp_path) == expected


@pytest.mark.parametrize("location", ["/again", "https://inside.test/", "http://x/"])
async def test_a_redirect_in_a_circle_or_inside_is_no_answer(
    location: str, tmp_path: Path
) -> None:
    answer = always(http_answer(302, VALID, f"Location: {location}"))

    assert await delegate_of(answer, tmp_path) is None
