"""CS getContentAuthed and its kin, over HTTP."""

import pytest

from tests.features.media.files import DOWNLOAD, PUBLIC, upload
from tests.server import Server, UserClient
from tremula.infra.config import Media

TEXT = b"0123456789"


async def test_every_answer_keeps_browsers_from_harm(alice: UserClient) -> None:
    path = await upload(alice, b"<script>alert(1)</script>", "Text/HTML")

    headers = (await alice.get(f"{DOWNLOAD}/{path}")).headers

    assert headers["content-security-policy"] == (
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf;"
        " style-src 'unsafe-inline'; object-src 'self';"
    )
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "attachment"
    assert headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("content_type", "disposition"),
    [
        ("image/png", "inline"),
        ("IMAGE/PNG", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        ("image/svg+xml", "attachment"),
        ("text/html", "attachment"),
        ("application/pdf", "attachment"),
        ("image/png, text/html", "attachment"),
    ],
)
async def test_only_harmless_types_are_shown_inline(
    alice: UserClient, content_type: str, disposition: str
) -> None:
    path = await upload(alice, b"<html>", content_type)

    headers = (await alice.get(f"{DOWNLOAD}/{path}")).headers

    assert headers["content-disposition"] == disposition


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        (
            "räksmörgås.png",
            "attachment; filename*=utf-8''r%C3%A4ksm%C3%B6rg%C3%A5s.png",
        ),
        ('a"b\\c.bin', "attachment; filename*=utf-8''a%22b%5Cc.bin"),
        ("a;b c.bin", 'attachment; filename="a;b c.bin"'),
        ("../../etc/passwd", 'attachment; filename="../../etc/passwd"'),
    ],
)
async def test_a_filename_comes_back_in_a_form_that_is_safe(
    alice: UserClient, filename: str, header: str
) -> None:
    path = await upload(alice, b"x", filename=filename)

    headers = (await alice.get(f"{DOWNLOAD}/{path}")).headers

    assert headers["content-disposition"] == header


async def test_the_path_may_name_another_filename(alice: UserClient) -> None:
    path = await upload(alice, b"x", filename="one.bin")

    headers = (await alice.get(f"{DOWNLOAD}/{path}/two.bin")).headers

    assert headers["content-disposition"] == 'attachment; filename="two.bin"'


@pytest.mark.parametrize(
    ("asked", "content_range", "body"),
    [
        ("bytes=2-4", "bytes 2-4/10", b"234"),
        ("bytes=7-", "bytes 7-9/10", b"789"),
        ("bytes=-3", "bytes 7-9/10", b"789"),
        ("bytes=5-99", "bytes 5-9/10", b"56789"),
    ],
)
async def test_a_part_can_be_had(
    alice: UserClient, asked: str, content_range: str, body: bytes
) -> None:
    path = await upload(alice, TEXT)

    response = await alice.get(f"{DOWNLOAD}/{path}", headers={"range": asked})

    assert (response.status, response.body) == (206, body)
    assert response.headers["content-range"] == content_range
    assert response.headers["content-length"] == str(len(body))


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "lines=1-2", "bytes=4-2", "bytes="])
async def test_what_is_no_single_range_is_ignored(
    alice: UserClient, asked: str
) -> None:
    path = await upload(alice, TEXT)

    response = await alice.get(f"{DOWNLOAD}/{path}", headers={"range": asked})

    assert (response.status, response.body) == (200, TEXT)


async def test_a_range_behind_the_end_is_refused(alice: UserClient) -> None:
    path = await upload(alice, TEXT)

    response = await alice.get(f"{DOWNLOAD}/{path}", headers={"range": "bytes=10-"})

    assert response.status == 416
    assert response.headers["content-range"] == "bytes */10"


async def test_what_the_client_has_is_not_sent_again(alice: UserClient) -> None:
    path = await upload(alice, TEXT)
    etag = (await alice.get(f"{DOWNLOAD}/{path}")).headers["etag"]

    same = await alice.get(f"{DOWNLOAD}/{path}", headers={"if-none-match": etag})
    other = await alice.get(f"{DOWNLOAD}/{path}", headers={"if-none-match": '"x"'})
    stale = await alice.get(
        f"{DOWNLOAD}/{path}", headers={"range": "bytes=1-2", "if-range": '"x"'}
    )

    assert (same.status, same.body) == (304, b"")
    assert (other.status, other.body) == (200, TEXT)
    assert (stale.status, stale.body) == (200, TEXT)


async def test_who_wants_the_rest_of_something_else_is_told_so(
    alice: UserClient,
) -> None:
    path = await upload(alice, TEXT)
    etag = (await alice.get(f"{DOWNLOAD}/{path}")).headers["etag"]

    rest = await alice.get(
        f"{DOWNLOAD}/{path}", headers={"range": "bytes=8-", "if-match": etag}
    )
    other = await alice.get(
        f"{DOWNLOAD}/{path}", headers={"range": "bytes=8-", "if-match": '"x"'}
    )

    assert (rest.status, rest.body) == (206, TEXT[8:])
    assert (other.status, other.json["errcode"]) == (412, "M_UNKNOWN")


async def test_head_has_no_body(alice: UserClient) -> None:
    path = await upload(alice, TEXT)

    response = await alice.request("HEAD", f"{DOWNLOAD}/{path}")

    assert (response.status, response.body) == (200, b"")
    assert response.headers["content-length"] == "10"


@pytest.mark.parametrize("asked", ["bytes=1-2", "bytes=10-"])
async def test_head_knows_of_no_ranges(alice: UserClient, asked: str) -> None:
    path = await upload(alice, TEXT)

    response = await alice.request(
        "HEAD", f"{DOWNLOAD}/{path}", headers={"range": asked}
    )

    assert response.status == 200
    assert response.headers["content-length"] == "10"


@pytest.mark.parametrize(
    "path",
    [
        "test/unknown",
        "test/..%2F..%2Fetc%2Fpasswd",
        "..%2F..%2Fetc/passwd",
        "test/%2e%2e",
        "test/a%00b",
        "test/" + "a" * 300,
        "127.0.0.1%2F..%2F/x",
    ],
)
async def test_what_is_no_media_is_not_found(alice: UserClient, path: str) -> None:
    response = await alice.get(f"{DOWNLOAD}/{path}")

    assert response.status in {400, 404}
    assert b"root:" not in response.body


async def test_new_media_need_an_access_token(
    server: Server, alice: UserClient
) -> None:
    path = await upload(alice, TEXT)

    frozen = await server.anonymous.get(f"{PUBLIC}/{path}")
    without = await server.anonymous.get(f"{DOWNLOAD}/{path}")

    assert (frozen.status, frozen.json["errcode"]) == (404, "M_NOT_FOUND")
    assert without.json["errcode"] == "M_MISSING_TOKEN"


@pytest.mark.parametrize("media", [Media(unauthenticated_access=True)])
async def test_the_old_endpoints_can_be_left_open(
    server: Server, alice: UserClient
) -> None:
    path = await upload(alice, TEXT, filename="a.bin")

    response = await server.anonymous.get(f"{PUBLIC}/{path}")
    named = await server.anonymous.get(f"{PUBLIC}/{path}/b.bin")

    assert response.body == named.body == TEXT
    assert named.headers["content-disposition"] == 'attachment; filename="b.bin"'


@pytest.mark.parametrize("media", [Media(unauthenticated_access=True)])
async def test_nobody_without_a_token_has_media_fetched(server: Server) -> None:
    """CVE-2024-37302: strangers filled the disk with media of other servers."""
    response = await server.anonymous.get(f"{PUBLIC}/far.test/media")

    assert (response.status, response.json["errcode"]) == (404, "M_NOT_FOUND")
