"""Uploading and downloading, as tests say it."""

import io
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tests.http_client import Client, HttpResponse

DOWNLOAD: Final = "/_matrix/client/v1/media/download"
THUMBNAIL: Final = "/_matrix/client/v1/media/thumbnail"
PUBLIC: Final = "/_matrix/media/v3/download"
UPLOAD: Final = "/_matrix/media/v3/upload"
CREATE: Final = "/_matrix/media/v1/create"


async def upload(
    client: Client,
    body: bytes,
    content_type: str = "application/octet-stream",
    filename: str | None = None,
) -> str:
    """Upload *body*, and return what comes behind ``mxc://``."""
    response = await client.request(
        "POST",
        UPLOAD,
        body=body,
        headers={"content-type": content_type},
        query={} if filename is None else {"filename": filename},
    )
    assert response.status == 200, response.body
    return path_of(response.json["content_uri"])


async def create(client: Client) -> str:
    """An ID that nothing is uploaded to yet, without ``mxc://``."""
    response = await client.post(CREATE)
    assert response.status == 200, response.body
    return path_of(response.json["content_uri"])


async def fill(client: Client, path: str, body: bytes = b"later") -> HttpResponse:
    """Upload to an ID."""
    return await client.request("PUT", f"{UPLOAD}/{path}", body=body)


async def thumbnail(
    client: Client,
    path: str,
    width: int = 96,
    height: int = 96,
    **query: str,
) -> HttpResponse:
    """Ask for a thumbnail."""
    return await client.get(
        f"{THUMBNAIL}/{path}", query={"width": width, "height": height, **query}
    )


def path_of(uri: str) -> str:
    """Server name and media ID, as they stand in a path."""
    assert uri.startswith("mxc://")
    return uri.removeprefix("mxc://")


def picture(
    width: int = 1000,
    height: int = 700,
    image_format: str = "PNG",
    mode: str = "RGB",
    **options: Any,  # noqa: ANN401 - as Pillow takes them
) -> bytes:
    """An image: red on the left, blue on the right."""
    image = Image.new(mode, (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    encoded = io.BytesIO()
    image.save(encoded, image_format, **options)
    return encoded.getvalue()


def animation(frames: int = 3, image_format: str = "GIF") -> bytes:
    """An image of 200 by 100 that moves."""
    colours = ["red", "green", "blue", "yellow"]
    images = [Image.new("RGB", (200, 100), colours[n % 4]) for n in range(frames)]
    encoded = io.BytesIO()
    images[0].save(
        encoded, image_format, save_all=True, append_images=images[1:], duration=80
    )
    return encoded.getvalue()


def opened(response: HttpResponse) -> Any:  # noqa: ANN401 - of any format
    """The image of an answer."""
    assert response.status == 200, response.body
    return Image.open(io.BytesIO(response.body))


def stored_files(folder: Path) -> list[Path]:
    """The blobs in a store, without its mark and the files that wait for some."""
    return sorted(
        path
        for path in (folder / "media").rglob("*")
        if path.is_file() and path.stat().st_size and not path.name.startswith("mark-")
    )
