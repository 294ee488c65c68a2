"""Bytes are stored once, and for as long as something refers to them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.media.files import DOWNLOAD, UPLOAD, stored_files, upload
from tests.server import Server, UserClient, config_for, running_server
from tremula.infra.config import Media
from tremula.protocol.mxc import Mxc

DAY_MS = 86_400_000


def mxc(path: str) -> Mxc:
    return Mxc.parse(f"mxc://{path}")


async def test_the_same_bytes_are_stored_once(
    alice: UserClient, bob: UserClient, tmp_path: Path
) -> None:
    first = await upload(alice, b"same")
    second = await upload(bob, b"same")
    await upload(bob, b"other")

    assert first != second
    assert len(stored_files(tmp_path)) == 2


async def test_bytes_go_with_the_last_that_refers_to_them(
    server: Server, alice: UserClient, bob: UserClient, tmp_path: Path, clock: FakeClock
) -> None:
    first, second = await upload(alice, b"same"), await upload(bob, b"same")
    care = server.app.media

    await care.delete([mxc(first)])
    clock.advance_ms(10)
    await care.blobs.collect()
    assert (await alice.get(f"{DOWNLOAD}/{first}")).status == 404
    assert (await alice.get(f"{DOWNLOAD}/{second}")).body == b"same"

    await care.delete([mxc(second)])
    clock.advance_ms(10)
    await care.blobs.collect()
    assert not stored_files(tmp_path)


async def test_bytes_that_come_again_are_there_again(
    server: Server, alice: UserClient, clock: FakeClock
) -> None:
    care = server.app.media
    path = await upload(alice, b"again")
    await care.delete([mxc(path)])
    clock.advance_ms(10)
    await care.retention.tidy()

    path = await upload(alice, b"again")
    clock.advance_ms(2 * DAY_MS)
    await care.retention.tidy()

    assert (await alice.get(f"{DOWNLOAD}/{path}")).body == b"again"


@pytest.mark.one_process(reason="each process reserves keys of its own")
async def test_new_bytes_are_looked_at_when_their_key_was_to_be(
    server: Server, alice: UserClient, clock: FakeClock
) -> None:
    """So one index less is written for each upload."""
    paths = [await upload(alice, b"first")]
    clock.advance_ms(1000)
    paths.append(await upload(alice, b"second"))

    times = await server.db.all("SELECT DISTINCT check_ts_ms FROM media_blobs")
    clock.advance_ms(2 * DAY_MS)
    await server.app.media.blobs.collect()

    assert len(times) == 1
    found = [(await alice.get(f"{DOWNLOAD}/{path}")).body for path in paths]
    assert found == [b"first", b"second"]


async def test_leftovers_of_a_crash_are_swept(
    server: Server, alice: UserClient, tmp_path: Path, clock: FakeClock
) -> None:
    await upload(alice, b"kept")
    leftover = tmp_path / "media" / "incoming" / "0123"
    leftover.write_bytes(b"half a fi")
    seen_s = clock.now_ms() / 1000
    os.utime(leftover, (seen_s, seen_s))

    await server.app.media.blobs.collect()
    assert leftover.exists()
    clock.advance_ms(DAY_MS + 1000)
    await server.app.media.blobs.collect()

    assert not leftover.exists()
    assert len(stored_files(tmp_path)) == 1


async def test_quarantined_bytes_are_served_and_taken_no_more(
    server: Server, alice: UserClient, bob: UserClient
) -> None:
    first, second = await upload(alice, b"bad"), await upload(bob, b"bad")
    care = server.app.media

    await care.quarantine(mxc(first), by="@admin:test")

    assert (await alice.get(f"{DOWNLOAD}/{second}")).status == 404
    refused = await bob.request("POST", UPLOAD, body=b"bad")
    assert (refused.status, refused.json["errcode"]) == (403, "M_FORBIDDEN")
    await care.release(mxc(first))
    assert (await alice.get(f"{DOWNLOAD}/{second}")).body == b"bad"


@pytest.mark.parametrize("media", [Media(uploads_unused_days=30)])
async def test_unused_uploads_go_unless_they_are_protected(
    server: Server, alice: UserClient, clock: FakeClock
) -> None:
    old, used, protected = [await upload(alice, name) for name in (b"1", b"2", b"3")]
    await server.app.media.protect(mxc(protected), is_protected=True)
    clock.advance_ms(20 * DAY_MS)
    assert (await alice.get(f"{DOWNLOAD}/{used}")).status == 200
    clock.advance_ms(20 * DAY_MS)

    await server.app.media.retention.tidy()

    assert (await alice.get(f"{DOWNLOAD}/{old}")).status == 404
    assert (await alice.get(f"{DOWNLOAD}/{used}")).body == b"2"
    assert (await alice.get(f"{DOWNLOAD}/{protected}")).body == b"3"


@pytest.fixture
async def moved(
    database_source: DatabaseSource, tmp_path: Path
) -> AsyncIterator[tuple[Server, str]]:
    """A server that finds an empty folder in the place of the one with its media."""
    config = config_for(database_source, tmp_path)
    async with running_server(config) as server:
        path = await upload(server.client("@alice:test"), b"here")
    empty = replace(config, media=Media(store="empty"))
    async with running_server(empty) as server:
        server.users.add("@alice:test")
        yield server, path


@pytest.mark.one_process(reason="it restarts the server")
async def test_a_folder_that_is_not_the_store_is_noticed(
    moved: tuple[Server, str],
) -> None:
    """One that is not mounted, say, or that the processes do not share."""
    server, path = moved
    alice = server.client("@alice:test")

    downloaded = await alice.request("POST", UPLOAD, body=b"lost tomorrow")

    assert downloaded.status == 503
    assert path


@pytest.mark.parametrize("media", [Media(erase_with_account=True)])
async def test_uploads_go_with_an_erased_account_unless_they_are_protected(
    server: Server, alice: UserClient, bob: UserClient, tmp_path: Path, clock: FakeClock
) -> None:
    first, protected = await upload(alice, b"1"), await upload(alice, b"2")
    others = await upload(bob, b"3")
    care = server.app.media
    await care.protect(mxc(protected), is_protected=True)

    await server.app.accounts.deactivate(alice.user_id, is_erased=True)
    clock.advance_ms(10)
    await care.retention.tidy()

    assert (await bob.get(f"{DOWNLOAD}/{first}")).status == 404
    assert (await bob.get(f"{DOWNLOAD}/{protected}")).body == b"2"
    assert (await bob.get(f"{DOWNLOAD}/{others}")).body == b"3"
    assert len(stored_files(tmp_path)) == 2


@pytest.mark.parametrize(
    ("media", "is_erased"),
    [(Media(), True), (Media(erase_with_account=True), False)],
)
async def test_uploads_stay_when_nobody_wants_them_gone(
    server: Server, alice: UserClient, bob: UserClient, *, is_erased: bool
) -> None:
    path = await upload(alice, b"1")

    await server.app.accounts.deactivate(alice.user_id, is_erased=is_erased)

    assert (await bob.get(f"{DOWNLOAD}/{path}")).body == b"1"
