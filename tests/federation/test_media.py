"""Media from one server to another: SS "Content Repository"."""

import asyncio
from typing import Any, Final

import pytest
from msgspec.structs import replace

from tests.fakes.clock import FakeClock
from tests.features.media.files import (
    DOWNLOAD,
    THUMBNAIL,
    create,
    opened,
    picture,
    thumbnail,
    upload,
)
from tests.federation.network import Federation, Letter
from tests.federation.remote import Refusal, Remote
from tests.http_client import Client
from tests.server import Server
from tremula.infra.config import Media
from tremula.protocol.identifiers import ServerName
from tremula.protocol.multipart import multipart_frame
from tremula.protocol.mxc import Mxc

FAR_FILE: Final = "far.test/file"
ASKED: Final = "/federation/v1/media/download/file"
DAY_MS = 86_400_000


def framed(
    body: bytes, content_type: str = "text/plain", disposition: str = "inline"
) -> bytes:
    before, behind = multipart_frame("boundary", content_type, disposition)
    return before + body + behind


async def test_a_file_of_one_server_is_downloaded_at_the_other(
    alice: Client, bob: Client
) -> None:
    path = await upload(alice, b"hello", "text/plain", "ä.txt")

    response = await bob.get(f"{DOWNLOAD}/{path}")

    assert (response.status, response.body) == (200, b"hello")
    assert response.headers["content-type"] == "text/plain"
    assert response.headers["content-disposition"] == (
        "inline; filename*=utf-8''%C3%A4.txt"
    )


async def test_a_thumbnail_is_made_of_the_copy(alice: Client, bob: Client) -> None:
    path = await upload(alice, picture(), "image/png")

    response = await thumbnail(bob, path)

    assert opened(response).size == (320, 224)


@pytest.mark.one_process(reason="each process fetches for those who ask it")
async def test_what_is_there_is_fetched_once(
    alice: Client, bob: Client, federation: Federation
) -> None:
    path = await upload(alice, b"x" * 100_000)

    answers = await asyncio.gather(*(bob.get(f"{DOWNLOAD}/{path}") for _ in range(5)))
    federation.network.down.add("one.test")
    later = await bob.get(f"{DOWNLOAD}/{path}")

    assert {each.body for each in answers} == {later.body} == {b"x" * 100_000}
    assert len(federation.network.asked("one.test", "/media/download/")) == 1


async def test_servers_are_served_in_two_parts(
    two: Server, bob: Client, remote: Remote
) -> None:
    path = await upload(bob, b"hello", "text/html", "a.html")
    media_id = path.partition("/")[2]

    response = await remote.ask(two, f"/v1/media/download/{media_id}")

    kind, _, boundary = response.headers["content-type"].partition("; boundary=")
    assert (response.status, kind) == (200, "multipart/mixed")
    assert (
        response.body
        == (
            f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n"
            f"--{boundary}\r\nContent-Type: text/html\r\n"
            'Content-Disposition: attachment; filename="a.html"\r\n\r\nhello\r\n'
            f"--{boundary}--\r\n"
        ).encode()
    )


async def test_servers_are_served_thumbnails(
    two: Server, bob: Client, remote: Remote
) -> None:
    path = await upload(bob, picture(), "image/png")
    media_id = path.partition("/")[2]

    response = await remote.ask(
        two, f"/v1/media/thumbnail/{media_id}", {"width": "32", "height": "32"}
    )

    assert response.status == 200
    assert b"Content-Type: image/jpeg\r\n" in response.body


async def test_servers_are_told_what_is_not_there(
    two: Server, bob: Client, remote: Remote
) -> None:
    pending = (await create(bob)).partition("/")[2]

    missing = await remote.ask(two, "/v1/media/download/nothing")
    early = await remote.ask(two, f"/v1/media/download/{pending}", {"timeout_ms": "0"})
    unsigned = await two.anonymous.get("/_matrix/federation/v1/media/download/nothing")

    assert (missing.status, missing.json["errcode"]) == (404, "M_NOT_FOUND")
    assert (early.status, early.json["errcode"]) == (504, "M_NOT_YET_UPLOADED")
    assert unsigned.status == 401


async def test_an_older_server_is_asked_the_old_way(
    bob: Client, remote: Remote, federation: Federation
) -> None:
    """ "MUST be sure to set allow_remote to false"."""
    remote.answers["/_matrix/media/v3/download/far.test/file"] = b"old"

    response = await bob.get(f"{DOWNLOAD}/{FAR_FILE}")

    assert response.body == b"old"
    assert response.headers["content-type"] == "application/octet-stream"
    [letter] = federation.network.asked("far.test", "/_matrix/media/v3/")
    assert "allow_remote=false" in letter.uri


@pytest.mark.parametrize(
    ("answer", "status", "errcode"),
    [
        (Refusal(404, "M_NOT_FOUND"), 404, "M_NOT_FOUND"),
        (Refusal(504, "M_NOT_YET_UPLOADED"), 504, "M_NOT_YET_UPLOADED"),
        (Refusal(502, "M_TOO_LARGE"), 502, "M_TOO_LARGE"),
        (Refusal(500, "M_UNKNOWN"), 502, "M_UNKNOWN"),
        (b"<html>", 502, "M_UNKNOWN"),
        (framed(b"hello")[:-10], 502, "M_UNKNOWN"),
        (
            b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b--\r\n",
            502,
            "M_UNKNOWN",
        ),
        (framed(b"a\r\n--boundary\r\n\r\nb"), 502, "M_UNKNOWN"),
    ],
)
async def test_a_failure_there_is_told_here(
    bob: Client, remote: Remote, answer: object, status: int, errcode: str
) -> None:
    remote.answers[ASKED] = answer

    response = await bob.get(f"{DOWNLOAD}/{FAR_FILE}")

    assert (response.status, response.json["errcode"]) == (status, errcode)


@pytest.mark.one_process(reason="each process remembers what it was told")
async def test_who_failed_is_not_asked_again_at_once(
    bob: Client, remote: Remote, federation: Federation
) -> None:
    remote.answers[ASKED] = Refusal(404, "M_NOT_FOUND")

    for _ in range(3):
        assert (await bob.get(f"{DOWNLOAD}/{FAR_FILE}")).status == 404

    assert len(federation.network.asked("far.test", ASKED)) == 1


@pytest.mark.parametrize(
    ("disposition", "content_type", "expected"),
    [
        ('inline; filename="../../x"', "image/png", 'inline; filename="../../x"'),
        (
            "attachment; filename*=utf-8''%0d%0aa",
            "text/html",
            'attachment; filename="a"',
        ),
        ("garbage \x7f", "not a type", "attachment"),
    ],
)
async def test_what_other_servers_say_of_a_file_is_made_safe(
    bob: Client, remote: Remote, disposition: str, content_type: str, expected: str
) -> None:
    remote.answers[ASKED] = framed(b"x", content_type, disposition)

    response = await bob.get(f"{DOWNLOAD}/{FAR_FILE}")

    assert response.headers["content-disposition"] == expected
    assert "sandbox" in response.headers["content-security-policy"]


async def start(federation: Federation, media: Media, **settings: Any) -> Server:  # noqa: ANN401
    return await federation.start("small.test", media=media, **settings)


async def test_what_is_too_large_is_not_fetched(
    two: Server, federation: Federation, remote: Remote
) -> None:
    small = await start(federation, Media(remote_bytes_max=1000))
    remote.answers[ASKED] = framed(b"x" * 1001)

    response = await small.client("@carol:small.test").get(f"{DOWNLOAD}/{FAR_FILE}")

    assert (response.status, response.json["errcode"]) == (502, "M_TOO_LARGE")


async def test_nothing_is_fetched_from_a_blocked_server(
    two: Server, federation: Federation, remote: Remote
) -> None:
    small = await start(federation, Media(blocked_servers=(ServerName("FAR.test"),)))
    remote.answers[ASKED] = framed(b"x")

    response = await small.client("@carol:small.test").get(f"{DOWNLOAD}/{FAR_FILE}")

    assert (response.status, response.json["errcode"]) == (404, "M_NOT_FOUND")
    assert not federation.network.asked("far.test", ASKED)


async def test_an_image_that_is_too_large_is_the_other_servers_fault(
    two: Server, federation: Federation, remote: Remote
) -> None:
    limits = replace(Media().thumbnails, pixels_max=100)
    small = await start(federation, Media(thumbnails=limits))
    remote.answers[ASKED] = framed(picture(100, 100))

    response = await small.client("@carol:small.test").get(
        f"{THUMBNAIL}/{FAR_FILE}?width=32&height=32"
    )

    assert (response.status, response.json["errcode"]) == (502, "M_TOO_LARGE")


async def test_what_was_wanted_least_recently_goes_first(
    two: Server, federation: Federation, remote: Remote
) -> None:
    clock = FakeClock()
    small = await start(federation, Media(cache_bytes_max=250), clock=clock)

    def answer(letter: Letter) -> bytes:
        return framed(letter.path[-1:].encode() * 100)

    remote.answers["/federation/v1/media/download/"] = answer
    carol = small.client("@carol:small.test")
    for name in "abc":
        clock.advance_ms(DAY_MS)
        await carol.get(f"{DOWNLOAD}/far.test/{name}")
    clock.advance_ms(DAY_MS)
    await carol.get(f"{DOWNLOAD}/far.test/a")

    await small.app.media.retention.tidy()

    federation.network.letters.clear()
    for name in "acb":
        kept = await carol.get(f"{DOWNLOAD}/far.test/{name}")
        assert kept.body == name.encode() * 100
    [letter] = federation.network.asked("far.test", "/media/download/")
    assert letter.path.endswith("/b")


async def test_a_copy_that_nobody_wants_goes(
    two: Server, federation: Federation, remote: Remote
) -> None:
    clock = FakeClock()
    small = await start(federation, Media(cache_unused_days=30), clock=clock)
    remote.answers[ASKED] = framed(b"x")
    carol = small.client("@carol:small.test")
    await carol.get(f"{DOWNLOAD}/{FAR_FILE}")
    mine = await upload(carol, b"mine")
    clock.advance_ms(31 * DAY_MS)

    await small.app.media.retention.tidy()

    assert (await carol.get(f"{DOWNLOAD}/{mine}")).body == b"mine"
    assert await _is_gone(small, Mxc.parse(f"mxc://{FAR_FILE}"))


async def _is_gone(server: Server, mxc: Mxc) -> bool:
    rows = await server.db.all(
        "SELECT 1 FROM media WHERE media_id = :media_id", media_id=mxc.media_id
    )
    return not rows
