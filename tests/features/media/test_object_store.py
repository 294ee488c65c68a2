"""A server whose files are in S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.features.media.files import DOWNLOAD, opened, picture, thumbnail, upload
from tests.infra.blobs.s3_server import BUCKET, running_s3
from tests.server import Server, UserClient
from tremula.infra.config import Media
from tremula.protocol.mxc import Mxc


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with running_s3() as url:
        yield url


@pytest.fixture
def media(s3_url: str, tmp_path: Path) -> Media:
    return Media(
        store=f"s3://{BUCKET}/{tmp_path.name}",
        endpoint=s3_url,
        region="us-east-1",
        access_key_id="test",
        secret_access_key="test",
    )


async def test_files_come_and_go(server: Server, alice: UserClient) -> None:
    path = await upload(alice, b"0123456789", "text/plain")

    whole = await alice.get(f"{DOWNLOAD}/{path}")
    part = await alice.get(f"{DOWNLOAD}/{path}", headers={"range": "bytes=2-4"})

    assert (whole.body, part.body) == (b"0123456789", b"234")
    await server.app.media.delete([Mxc.parse(f"mxc://{path}")])
    assert (await alice.get(f"{DOWNLOAD}/{path}")).status == 404


async def test_thumbnails_are_made_and_kept(alice: UserClient) -> None:
    path = await upload(alice, picture(), "image/png")

    assert opened(await thumbnail(alice, path)).size == (320, 224)
    assert opened(await thumbnail(alice, path)).size == (320, 224)


async def test_nothing_is_left_on_the_machine(
    alice: UserClient, tmp_path: Path
) -> None:
    path = await upload(alice, picture(), "image/png")
    await thumbnail(alice, path)

    assert not [each for each in (tmp_path / "media").rglob("*") if each.is_file()]
