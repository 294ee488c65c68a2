"""CS getUrlPreviewAuthed, over HTTP, with a web that the test wrote."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.backends import table_of_refusals
from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.fakes.pages import FakePages, WebPage
from tests.features.media.files import DOWNLOAD, path_of, picture
from tests.http_client import Client, HttpResponse
from tests.server import Server, UserClient, config_for, running_server
from tremula.infra.config import RateLimit, RateLimits, UrlPreviews

PAGE = "https://page.test/a/b"
PREVIEW = "/_matrix/client/v1/media/preview_url"


@pytest.fixture
def web() -> FakePages:
    return FakePages()


@pytest.fixture
def previews() -> UrlPreviews:
    return UrlPreviews(enabled=True)


@pytest.fixture
async def server(
    database_source: DatabaseSource,
    tmp_path: Path,
    clock: FakeClock,
    web: FakePages,
    previews: UrlPreviews,
) -> AsyncIterator[Server]:
    config = replace(config_for(database_source, tmp_path), url_previews=previews)
    async with running_server(config, clock, web=web) as server:
        yield server


@pytest.fixture
def alice(server: Server) -> UserClient:
    return server.client("@alice:test")


async def preview(client: Client, url: str = PAGE) -> HttpResponse:
    return await client.get(PREVIEW, query={"url": url})


async def previewed(client: Client, url: str = PAGE) -> dict[str, Any]:
    response = await preview(client, url)
    assert response.status == 200, response.body
    found: dict[str, Any] = response.json
    return found


async def test_open_graph_comes_first(alice: UserClient, web: FakePages) -> None:
    web.pages[PAGE] = WebPage(
        b"<html><head><title>T</title><meta property=og:title content='A &amp; B'>"
        b"<meta name='twitter:title' content=no><meta name=description content=D>"
        b"<meta property='og:site_name' content=S><meta property=og:type content=video>"
    )

    assert await previewed(alice) == {
        "og:title": "A & B",
        "og:description": "D",
        "og:site_name": "S",
        "og:type": "video",
    }


async def test_a_page_without_it_speaks_for_itself(
    alice: UserClient, web: FakePages
) -> None:
    web.pages[PAGE] = WebPage(
        b"<title> A\n title </title><title>no</title><style>p{}</style><nav>Menu</nav>"
        b"<p>First<p>Second <script>no()</script>" + b"word " * 500
    )

    found = await previewed(alice)

    assert found["og:title"] == "A title"
    assert found["og:description"].startswith("First Second word word")
    assert len(found["og:description"]) <= 500
    assert "no" not in found["og:description"]


async def test_twitter_cards_count_as_well(alice: UserClient, web: FakePages) -> None:
    web.pages[PAGE] = WebPage(
        b"<meta name=twitter:title content=T><meta name=twitter:description content=D>"
    )

    assert await previewed(alice) == {"og:title": "T", "og:description": "D"}


async def test_the_image_is_kept_here(alice: UserClient, web: FakePages) -> None:
    image = picture(40, 30)
    web.pages[PAGE] = WebPage(
        b"<meta property=og:title content=T><meta property=og:image content=../i.png>"
    )
    web.pages["https://page.test/i.png"] = WebPage(image, "image/png")

    found = await previewed(alice)
    kept = await alice.get(f"{DOWNLOAD}/{path_of(found['og:image'])}")

    assert kept.body == image
    assert found["matrix:image:size"] == len(image)
    assert found["og:image:type"] == "image/png"


@pytest.mark.parametrize(
    ("url", "content_type"),
    [
        ("https://page.test/none.png", "image/png"),
        ("https://page.test/i.html", "text/html"),
        ("https://page.test/i.svg", "image/svg+xml"),
        ("file:///etc/passwd", "image/png"),
        ("data:image/png;base64,AAAA", "image/png"),
        ("http://[::1", "image/png"),
    ],
)
async def test_what_is_no_image_is_left_out(
    alice: UserClient, web: FakePages, url: str, content_type: str
) -> None:
    web.pages[PAGE] = WebPage(
        b"<meta property=og:title content=T>"
        + f"<meta property=og:image content='{url}'>".encode()
    )
    if "none" not in url:
        web.pages[url] = WebPage(b"x", content_type)

    assert await previewed(alice) == {"og:title": "T"}


async def test_a_link_to_an_image_is_its_own_preview(
    alice: UserClient, web: FakePages
) -> None:
    web.pages[PAGE] = WebPage(picture(40, 30), "image/png")

    assert (await previewed(alice))["og:image"].startswith("mxc://test/")


async def test_oembed_is_asked_where_the_page_says_little(
    alice: UserClient, web: FakePages
) -> None:
    web.pages[PAGE] = WebPage(
        b"<link rel=alternate type=application/json+oembed href='/oembed?x'>"
    )
    web.pages["https://page.test/oembed?x"] = WebPage(
        b'{"title":"E","provider_name":"P","thumbnail_url":"https://x.test/i"}',
        "application/json",
    )
    web.pages["https://x.test/i"] = WebPage(picture(9, 9), "image/png")

    found = await previewed(alice)

    assert (found["og:title"], found["og:site_name"]) == ("E", "P")
    assert "og:image" in found


@pytest.mark.parametrize("body", [b"[]", b"no", b'{"title":7}', b"x" * 70_000])
async def test_oembed_that_is_none_is_ignored(
    alice: UserClient, web: FakePages, body: bytes
) -> None:
    web.pages[PAGE] = WebPage(
        b"<title>T</title><link type=application/json+oembed href=/o>"
    )
    web.pages["https://page.test/o"] = WebPage(body, "application/json")

    assert await previewed(alice) == {"og:title": "T"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=windows-1252", "<title>Grüße</title>".encode("cp1252")),
        ("text/html", '<meta charset="iso-8859-1"><title>Grüße'.encode("latin-1")),
        ("text/html", "<title>Grüße</title>".encode()),
        ("text/html", "<title>Grüße</title>".encode("utf-16")),
        ("text/html; charset=rot13", "<title>Grüße</title>".encode()),
        ("text/html; charset=klingon", "<title>Grüße</title>".encode()),
    ],
)
async def test_pages_come_in_many_encodings(
    alice: UserClient, web: FakePages, content_type: str, body: bytes
) -> None:
    web.pages[PAGE] = WebPage(body, content_type)

    assert (await previewed(alice))["og:title"] == "Grüße"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0",
        b"<",
        b"<!--",
        b"\xff\xfe",
        b"<html",
        b"plain",
        b"<title>\0</title>",
    ],
)
async def test_what_is_hardly_a_page_has_hardly_a_preview(
    alice: UserClient, web: FakePages, body: bytes
) -> None:
    web.pages[PAGE] = WebPage(body)

    assert set(await previewed(alice)) <= {"og:title", "og:description"}


@pytest.mark.parametrize(
    "body",
    [
        b"<div>" * 2_000_000,
        b"<table><tr><td>" * 500_000,
        b"<a><b><i>" * 500_000,
        b"<p " + b"a=b " * 2_000_000,
        b"<meta property=og:x content=y>" * 300_000,
        b"&" * 9_000_000,
    ],
)
async def test_a_page_that_never_ends_costs_little(
    alice: UserClient, web: FakePages, body: bytes
) -> None:
    """CVE-2022-31052: nesting without end was recursion without end."""
    web.pages[PAGE] = WebPage(body)
    await alice.get("/v3/account/whoami")
    begun_s = time.process_time()

    response = await preview(alice)

    assert response.status == 200
    assert time.process_time() - begun_s < 2


@pytest.mark.parametrize("start", ["", "One word "])
async def test_what_is_written_without_spaces_is_shortened_too(
    alice: UserClient, web: FakePages, start: str
) -> None:
    title = start + "日本語" * 500
    web.pages[PAGE] = WebPage(f"<meta property=og:title content='{title}'>".encode())

    shown = (await previewed(alice))["og:title"]

    assert shown.endswith(("語…", "本…", "日…"))
    assert len(shown) > 100


async def test_a_host_that_no_name_is_encoded_as_is_unreachable(
    alice: UserClient, web: FakePages
) -> None:
    """An "xn--" label need not decode."""
    image = "<title>T</title><meta property='og:image' content='https://xn--a/i.png'>"
    web.pages[PAGE] = WebPage(image.encode())

    assert await previewed(alice) == {"og:title": "T"}
    assert (await preview(alice, "https://xn--a/")).status == 502


@table_of_refusals
@pytest.mark.parametrize(
    "url",
    [
        "",
        "page.test",
        "ftp://page.test/",
        "file:///etc/passwd",
        "https://user:password@page.test/",
        "https://",
        "https://page.test:99999/",
        "javascript:alert(1)",
    ],
)
async def test_what_is_no_url_of_a_page_is_refused(alice: UserClient, url: str) -> None:
    response = await preview(alice, url)

    assert response.status == 400
    assert response.json["errcode"] in {"M_INVALID_PARAM", "M_MISSING_PARAM"}


async def test_a_page_that_cannot_be_had(alice: UserClient) -> None:
    response = await preview(alice)

    assert (response.status, response.json["errcode"]) == (502, "M_UNKNOWN")


@pytest.mark.parametrize(
    "page",
    [
        WebPage(b"<title>Not found</title>", status=404),
        WebPage(b"%PDF", "application/pdf"),
        WebPage(b"<title>T</title>", "text/plain"),
    ],
)
async def test_what_is_no_page_has_an_empty_preview(
    alice: UserClient, web: FakePages, page: WebPage
) -> None:
    web.pages[PAGE] = page

    assert await previewed(alice) == {}


@pytest.mark.one_process(reason="the clock jumps by an hour amid requests")
async def test_a_preview_is_kept_for_a_while(
    alice: UserClient, web: FakePages, clock: FakeClock
) -> None:
    web.pages[PAGE] = WebPage(b"<title>Old</title>")
    assert (await previewed(alice, PAGE + "#part"))["og:title"] == "Old"
    web.pages[PAGE] = WebPage(b"<title>New</title>")

    assert (await previewed(alice))["og:title"] == "Old"
    clock.advance_ms(3_600_000)
    assert (await previewed(alice))["og:title"] == "New"
    assert web.asked == [PAGE, PAGE]


@pytest.mark.parametrize("previews", [UrlPreviews()])
async def test_no_page_is_asked_unless_the_operator_wants_it(
    alice: UserClient, web: FakePages
) -> None:
    assert await previewed(alice) == {}
    assert not web.asked


DENYING = UrlPreviews(
    enabled=True, denied_urls=("*://*.secret.test/*", "*://secret.test/*")
)


@pytest.mark.parametrize("previews", [DENYING])
@pytest.mark.parametrize(
    "url",
    [
        "https://secret.test/",
        "http://SECRET.test/a",
        "https://secret.test:443/a",
        "https://secret.test./a",
        "https://a.secret.test/?x",
    ],
)
async def test_a_denied_url_is_not_asked(
    alice: UserClient, web: FakePages, url: str
) -> None:
    web.pages[url] = WebPage(b"<title>T</title>")

    response = await preview(alice, url)

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
    assert not web.asked


@pytest.mark.parametrize("previews", [DENYING])
async def test_no_way_round_leads_to_a_denied_url(
    alice: UserClient, web: FakePages
) -> None:
    """CVE-2023-32683: redirects and images led past the list."""
    web.pages[PAGE] = WebPage(location="https://secret.test/a")
    web.pages["https://secret.test/a"] = WebPage(b"<title>T</title>")
    image = "https://page.test/image"
    web.pages[image] = WebPage(
        b"<title>T</title><meta property=og:image content=https://secret.test/a>"
    )

    assert (await preview(alice)).status == 502
    assert await previewed(alice, image) == {"og:title": "T"}
    assert "https://secret.test/a" not in web.asked


@pytest.mark.parametrize(
    "previews", [UrlPreviews(enabled=True, allowed_urls=("https://page.test/*",))]
)
async def test_only_allowed_urls_are_asked(alice: UserClient, web: FakePages) -> None:
    web.pages[PAGE] = WebPage(b"<title>T</title>")

    assert await previewed(alice) == {"og:title": "T"}
    assert (await preview(alice, "https://evil.test/?https://page.test/")).status == 403


async def test_strangers_have_no_previews(server: Server) -> None:
    assert (await preview(server.anonymous)).status == 401


@pytest.mark.one_process(reason="each process counts what it lets through")
async def test_one_user_has_few_pages_fetched(
    database_source: DatabaseSource, tmp_path: Path, web: FakePages
) -> None:
    """Of those that are kept, too: it is said before anybody looks."""
    web.pages[PAGE] = WebPage(b"<title>T</title>")
    config = replace(
        config_for(database_source, tmp_path),
        url_previews=UrlPreviews(enabled=True),
        rate_limits=RateLimits(url_previews=RateLimit(per_second=0.001, burst=2)),
    )
    async with running_server(config, web=web) as server:
        alice, bob = server.client("@alice:test"), server.client("@bob:test")
        of_alice = [(await preview(alice)).status for _ in range(3)]
        of_bob = await preview(bob)

    assert of_alice == [200, 200, 429]
    assert of_bob.status == 200
