"""CS uploadContent, createContent, uploadContentToMXC, over HTTP."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.features.media.files import (
    CREATE,
    DOWNLOAD,
    UPLOAD,
    create,
    fill,
    stored_files,
    upload,
)
from tests.server import Server, UserClient
from tremula.infra.config import Media

HOUR_MS = 3_600_000


async def test_what_is_uploaded_can_be_downloaded(alice: UserClient) -> None:
    path = await upload(alice, b"hello", "text/plain", "a b.txt")

    response = await alice.get(f"{DOWNLOAD}/{path}")

    assert response.status == 200
    assert response.body == b"hello"
    assert response.headers["content-type"] == "text/plain"
    assert response.headers["content-disposition"] == 'inline; filename="a b.txt"'


async def test_an_empty_file_is_a_file(alice: UserClient) -> None:
    path = await upload(alice, b"")

    response = await alice.get(f"{DOWNLOAD}/{path}")

    assert (response.status, response.body) == (200, b"")


async def test_guests_and_strangers_may_not_upload(server: Server) -> None:
    response = await server.anonymous.request("POST", UPLOAD, body=b"x")

    assert response.json["errcode"] == "M_MISSING_TOKEN"


async def test_a_type_that_is_none_counts_as_bytes(alice: UserClient) -> None:
    path = await upload(alice, b"x", "text/html; <script>")

    response = await alice.get(f"{DOWNLOAD}/{path}")

    assert response.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("filename", ["a\nb", "a" * 256, "a\x7f"])
async def test_a_filename_that_cannot_be_sent_back_is_refused(
    alice: UserClient, filename: str
) -> None:
    response = await alice.request(
        "POST", UPLOAD, body=b"x", query={"filename": filename}
    )

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("media", [Media(upload_bytes_max=10)])
async def test_an_upload_past_the_limit_is_too_large(
    alice: UserClient, tmp_path: Path
) -> None:
    declared = await alice.request("POST", UPLOAD, body=b"x" * 11)
    chunked = await alice.request(
        "POST", UPLOAD, body=b"x" * 11, headers={"transfer-encoding": "chunked"}
    )

    assert (declared.status, declared.json["errcode"]) == (413, "M_TOO_LARGE")
    assert (chunked.status, chunked.json["errcode"]) == (413, "M_TOO_LARGE")
    assert not stored_files(tmp_path)
    config = await alice.get("/_matrix/client/v1/media/config")
    assert config.json == {"m.upload.size": 10}
    assert (await alice.get("/_matrix/media/v3/config")).json == config.json


@pytest.mark.parametrize("media", [Media(user_bytes_max=10)])
async def test_a_user_has_a_quota_of_bytes(alice: UserClient, bob: UserClient) -> None:
    await upload(alice, b"12345678")

    refused = await alice.request("POST", UPLOAD, body=b"123")

    assert (refused.status, refused.json["errcode"]) == (403, "M_FORBIDDEN")
    await upload(alice, b"12")
    await upload(bob, b"123")


@pytest.mark.parametrize("media", [Media(user_files_max=1)])
async def test_a_user_has_a_quota_of_files(alice: UserClient) -> None:
    await upload(alice, b"1")

    refused = await alice.request("POST", UPLOAD, body=b"2")

    assert (refused.status, refused.json["errcode"]) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("media", [Media(user_bytes_max=10), Media(user_files_max=1)])
async def test_uploads_of_one_moment_pass_no_quota_together(alice: UserClient) -> None:
    pending = await create(alice)

    async with asyncio.TaskGroup() as tasks:
        at_once = [
            tasks.create_task(alice.request("POST", UPLOAD, body=b"%d-----" % n))
            for n in range(8)
        ]
        at_once.append(tasks.create_task(fill(alice, pending, b"8-----")))

    assert sorted(task.result().status for task in at_once) == [200, *[403] * 8]


@pytest.mark.parametrize("media", [Media(total_bytes_max=10)])
@pytest.mark.one_process(reason="each process counts what it takes in for a minute")
async def test_the_server_has_a_quota(alice: UserClient, bob: UserClient) -> None:
    await upload(alice, b"12345678")

    refused = await bob.request("POST", UPLOAD, body=b"123")

    assert (refused.status, refused.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_an_id_can_be_filled_later(alice: UserClient) -> None:
    path = await create(alice)

    early = await alice.get(f"{DOWNLOAD}/{path}", query={"timeout_ms": 0})
    filled = await fill(alice, path, b"later")
    late = await alice.get(f"{DOWNLOAD}/{path}")

    assert (early.status, early.json["errcode"]) == (504, "M_NOT_YET_UPLOADED")
    assert (filled.status, filled.json) == (200, {})
    assert late.body == b"later"


async def test_a_download_waits_for_the_upload(
    alice: UserClient, bob: UserClient
) -> None:
    path = await create(alice)
    await bob.get("/v3/account/whoami")

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(bob.get(f"{DOWNLOAD}/{path}"))
        tasks.create_task(fill(alice, path))

    assert waiting.result().body == b"later"


async def test_only_who_created_an_id_may_fill_it(
    alice: UserClient, bob: UserClient
) -> None:
    path = await create(alice)

    response = await fill(bob, path)

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_an_id_is_filled_once(alice: UserClient) -> None:
    path = await create(alice)
    first, second = await asyncio.gather(
        fill(alice, path, b"one"), fill(alice, path, b"two")
    )
    third = await fill(alice, path, b"three")

    assert sorted((first.status, second.status)) == [200, 409]
    assert (third.status, third.json["errcode"]) == (409, "M_CANNOT_OVERWRITE_MEDIA")
    kept = await alice.get(f"{DOWNLOAD}/{path}")
    assert kept.body == (b"one" if first.status == 200 else b"two")


async def test_an_id_expires(
    server: Server, alice: UserClient, clock: FakeClock
) -> None:
    path = await create(alice)
    clock.advance_ms(24 * HOUR_MS)

    assert (await fill(alice, path)).json["errcode"] == "M_NOT_FOUND"
    assert (await alice.get(f"{DOWNLOAD}/{path}")).json["errcode"] == "M_NOT_FOUND"
    await server.app.media.retention.tidy()
    assert (await fill(alice, path)).json["errcode"] == "M_NOT_FOUND"


@pytest.mark.parametrize("path", ["test/unknown", "test/..", "far.test/x", "test/a%00"])
async def test_an_id_that_was_not_created_cannot_be_filled(
    alice: UserClient, path: str
) -> None:
    assert (await fill(alice, path)).status in {400, 404}


@pytest.mark.one_process(reason="the clock jumps by a day amid requests")
@pytest.mark.parametrize("media", [Media(pending_max=2)])
async def test_few_ids_may_be_pending(alice: UserClient, clock: FakeClock) -> None:
    path = await create(alice)
    await create(alice)

    refused = await alice.post(CREATE)
    await fill(alice, path)

    assert (refused.status, refused.json["errcode"]) == (429, "M_LIMIT_EXCEEDED")
    assert await create(alice)
    clock.advance_ms(24 * HOUR_MS)
    assert await create(alice)
