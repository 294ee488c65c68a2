"""MSC4108: sessions as texts with entity tags, over HTTP."""

import asyncio
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

from tests.fakes.clock import FakeClock
from tests.http_client import HttpResponse
from tests.server import Server
from tremula.features.rendezvous.service import LIFETIME_MS, PAYLOAD_BYTES_MAX

PATH = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
TEXT = {"content-type": "text/plain"}


async def begin(server: Server, body: bytes = b"hello") -> tuple[str, str]:
    """The path of a new session, and the tag of its payload."""
    answer = await server.anonymous.post(PATH, body=body, headers=TEXT)
    assert answer.status == 201, answer
    return urlsplit(answer.json["url"]).path, answer.headers["etag"]


async def put(server: Server, path: str, etag: str, body: bytes) -> HttpResponse:
    headers = TEXT | {"if-match": etag}
    return await server.anonymous.put(path, body=body, headers=headers)


async def test_a_session_is_begun_for_anybody(server: Server, clock: FakeClock) -> None:
    answer = await server.anonymous.post(PATH, body=b"hello", headers=TEXT)

    assert answer.status == 201
    assert answer.json["url"].startswith(f"https://test{PATH}/")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert answer.headers["access-control-expose-headers"] == "ETag"
    expires = parsedate_to_datetime(answer.headers["expires"])
    assert int(expires.timestamp()) == (clock.now_ms() + LIFETIME_MS) // 1000
    modified = parsedate_to_datetime(answer.headers["last-modified"])
    assert int(modified.timestamp()) == clock.now_ms() // 1000


async def test_devices_take_turns(server: Server) -> None:
    path, first = await begin(server, b"from one")

    seen = await server.anonymous.get(path)
    sent = await put(server, path, seen.headers["etag"], b"\xff from the other")
    answer = await server.anonymous.get(path, headers={"if-none-match": first})

    assert (seen.status, seen.body) == (200, b"from one")
    assert seen.headers["etag"] == first
    assert (sent.status, sent.json) == (202, {})
    assert (answer.status, answer.body) == (200, b"\xff from the other")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["etag"] == sent.headers["etag"] != first
    assert answer.headers["access-control-expose-headers"] == "ETag"


async def test_what_is_known_is_not_sent(server: Server) -> None:
    path, etag = await begin(server)

    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        same = await server.anonymous.get(path, headers={"if-none-match": known})
        assert (same.status, same.body) == (304, b"")
        assert same.headers["etag"] == etag
        assert not {"content-length", "content-type"} & same.headers.keys()


async def test_an_overtaken_writer_is_told(server: Server) -> None:
    path, first = await begin(server)
    newer = await put(server, path, first, b"newer")

    late = await put(server, path, first, b"late")

    assert (late.status, late.json["errcode"]) == (412, "M_CONCURRENT_WRITE")
    assert late.headers["etag"] == newer.headers["etag"]
    assert (await server.anonymous.get(path)).body == b"newer"


async def test_of_writers_at_once_one_gets_through(server: Server) -> None:
    path, etag = await begin(server)

    answers = await asyncio.gather(
        *(put(server, path, etag, b"%d" % number) for number in range(20))
    )

    statuses = [each.status for each in answers]
    assert sorted(statuses) == [202] + [412] * 19
    body = (await server.anonymous.get(path)).body
    assert body == b"%d" % statuses.index(202)


async def test_a_session_is_cancelled(server: Server) -> None:
    path, etag = await begin(server)

    cancelled = await server.anonymous.delete(path)

    assert (cancelled.status, cancelled.body) == (204, b"")
    assert "content-length" not in cancelled.headers
    gone = [
        await server.anonymous.get(path),
        await put(server, path, etag, b"x"),
        await server.anonymous.delete(path),
    ]
    assert [(each.status, each.json["errcode"]) for each in gone] == [
        (404, "M_NOT_FOUND")
    ] * 3


@pytest.mark.one_process("the clock jumps further than leases last")
async def test_a_session_expires(server: Server, clock: FakeClock) -> None:
    path, etag = await begin(server)
    clock.advance_ms(LIFETIME_MS - 1)
    assert (await put(server, path, etag, b"still there")).status == 202

    clock.advance_ms(1)
    assert (await server.anonymous.get(path)).status == 404
    assert (await put(server, path, '"2"', b"x")).status == 404
    assert (await server.anonymous.delete(path)).status == 404

    await begin(server)
    rows = await server.db.all("SELECT session_id FROM rendezvous_sessions")
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("headers", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"content-type": "application/json"}, "M_INVALID_PARAM"),
        ({"content-type": "text/plainer"}, "M_INVALID_PARAM"),
    ],
)
async def test_only_text_is_taken(
    server: Server, headers: dict[str, str], errcode: str
) -> None:
    path, etag = await begin(server)

    begun = await server.anonymous.post(PATH, body=b"x", headers=headers)
    sent = await server.anonymous.put(
        path, body=b"x", headers={**headers, "if-match": etag}
    )

    assert [begun.status, sent.status] == [400, 400]
    assert [begun.json["errcode"], sent.json["errcode"]] == [errcode] * 2


@pytest.mark.parametrize(
    ("if_match", "errcode"),
    [
        (None, "M_MISSING_PARAM"),
        ("1", "M_INVALID_PARAM"),
        ('W/"1"', "M_INVALID_PARAM"),
        ('"1", "2"', "M_INVALID_PARAM"),
        ("*", "M_INVALID_PARAM"),
    ],
)
async def test_a_writer_names_what_it_has_seen(
    server: Server, if_match: str | None, errcode: str
) -> None:
    path, _ = await begin(server)
    headers = TEXT if if_match is None else TEXT | {"if-match": if_match}

    refused = await server.anonymous.put(path, body=b"x", headers=headers)

    assert (refused.status, refused.json["errcode"]) == (400, errcode)


async def test_a_payload_has_4_kb_at_most(server: Server) -> None:
    path, etag = await begin(server, b"x" * PAYLOAD_BYTES_MAX)
    longer = b"x" * (PAYLOAD_BYTES_MAX + 1)

    begun = await server.anonymous.post(PATH, body=longer, headers=TEXT)
    sent = await put(server, path, etag, longer)

    assert [begun.status, sent.status] == [413, 413]
    assert begun.json["errcode"] == "M_TOO_LARGE"


async def test_who_follows_a_link_sees_nothing(server: Server) -> None:
    path, _ = await begin(server)

    answer = await server.anonymous.get(path, headers={"sec-fetch-mode": "navigate"})

    assert (answer.status, answer.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_browsers_may_make_conditional_requests(server: Server) -> None:
    path, _ = await begin(server)

    preflight = await server.anonymous.request("OPTIONS", path)

    allowed = preflight.headers["access-control-allow-headers"].split(", ")
    assert {"If-Match", "If-None-Match", "Content-Type"} <= set(allowed)
    assert "PUT" in preflight.headers["access-control-allow-methods"]


async def test_clients_are_told(server: Server) -> None:
    features = (await server.anonymous.get("/_matrix/client/versions")).json[
        "unstable_features"
    ]

    assert features["org.matrix.msc4108"]
    assert features["io.element.msc4388"]
