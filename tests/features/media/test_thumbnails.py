"""CS getContentThumbnailAuthed, over HTTP, with a real worker process."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.backends import one_engine
from tests.features.media.files import (
    THUMBNAIL,
    animation,
    opened,
    picture,
    stored_files,
    thumbnail,
    upload,
)
from tests.server import Server, UserClient
from tremula.infra.config import Media, PremadeThumbnail
from tremula.infra.config.tree import Thumbnailing

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "AVIF"]


@one_engine
@pytest.mark.parametrize("image_format", FORMATS)
async def test_each_format_has_thumbnails(alice: UserClient, image_format: str) -> None:
    path = await upload(alice, picture(image_format=image_format))

    response = await thumbnail(alice, path)

    assert opened(response).size == (137, 96) or opened(response).size == (320, 224)
    assert response.headers["content-type"] in {"image/jpeg", "image/png"}
    assert response.headers["content-disposition"].startswith("inline")


@one_engine
@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ((32, 32, "crop"), (32, 32)),
        ((90, 90, "crop"), (96, 96)),
        ((200, 100, "crop"), (200, 100)),
        ((10, 10, "scale"), (320, 224)),
        ((320, 240, "scale"), (320, 224)),
        ((641, 480, "scale"), (800, 560)),
        ((5000, 5000, "scale"), (1000, 700)),
        ((30, 65535, "scale"), (320, 224)),
        ((65535, 65535, "scale"), (1000, 700)),
        ((65535, 100, "scale"), (343, 240)),
        ((900, 800, "crop"), (788, 700)),
    ],
)
async def test_sizes_are_as_large_as_asked_and_never_upscaled(
    alice: UserClient, asked: tuple[int, int, str], size: tuple[int, int]
) -> None:
    path = await upload(alice, picture(1000, 700))
    width, height, method = asked

    response = await thumbnail(alice, path, width, height, method=method)

    assert opened(response).size == size


async def test_a_small_image_is_its_own_thumbnail(alice: UserClient) -> None:
    original = picture(20, 10)
    path = await upload(alice, original, "image/png")

    response = await thumbnail(alice, path, method="crop")

    assert response.body == original
    assert response.headers["content-type"] == "image/png"


@pytest.mark.parametrize("said", ["text/html", "application/octet-stream"])
async def test_a_small_image_is_what_it_is_and_not_what_it_was_said_to_be(
    alice: UserClient, said: str
) -> None:
    """It "MUST be `inline`", and bridges upload images of no type."""
    path = await upload(alice, picture(20, 10, "WEBP"), said, "page.html")

    response = await thumbnail(alice, path)

    assert response.headers["content-type"] == "image/webp"
    disposition = response.headers["content-disposition"]
    assert disposition == 'inline; filename="thumbnail.webp"'


@one_engine
async def test_a_small_image_of_a_format_that_no_thumbnail_has_is_made_one(
    alice: UserClient,
) -> None:
    path = await upload(alice, picture(20, 10, "AVIF"), "image/avif")

    response = await thumbnail(alice, path)

    assert response.headers["content-type"] == "image/jpeg"
    assert (opened(response).format, opened(response).size) == ("JPEG", (20, 10))


@one_engine
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
async def test_the_thumbnail_of_a_small_image_says_nothing_of_its_origin(
    alice: UserClient, image_format: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "taken at home"
    original = picture(20, 10, image_format, exif=exif.tobytes())
    path = await upload(alice, original)

    response = await thumbnail(alice, path)

    assert b"taken at home" not in response.body
    assert opened(response).size == (10, 20)


@one_engine
async def test_the_text_of_a_small_png_is_not_in_its_thumbnail(
    alice: UserClient,
) -> None:
    text = PngInfo()
    text.add_text("Location", "at home")
    path = await upload(alice, picture(20, 10, pnginfo=text))

    response = await thumbnail(alice, path)

    assert b"at home" not in response.body


@one_engine
async def test_several_pictures_in_a_jpeg_do_not_move(alice: UserClient) -> None:
    """Cameras put a depth map or the like behind the picture itself."""
    other = Image.new("RGB", (1000, 700), "green")
    several = picture(image_format="MPO", save_all=True, append_images=[other])
    path = await upload(alice, several, "image/jpeg")

    response = await thumbnail(alice, path, 320, 240, animated="true")

    assert response.headers["content-type"] == "image/jpeg"


@one_engine
async def test_a_thumbnail_is_turned_and_says_nothing_of_its_origin(
    alice: UserClient,
) -> None:

    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "taken at home"
    path = await upload(alice, picture(1000, 700, "JPEG", exif=exif.tobytes()))

    response = await thumbnail(alice, path, 320, 240)

    assert opened(response).size == (168, 240)
    assert b"taken at home" not in response.body
    assert not opened(response).getexif()


@one_engine
async def test_transparency_stays(alice: UserClient) -> None:
    path = await upload(alice, picture(mode="RGBA"))

    assert opened(await thumbnail(alice, path)).format == "PNG"


@one_engine
@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
async def test_it_moves_only_if_asked_to(alice: UserClient, image_format: str) -> None:
    path = await upload(alice, animation(image_format=image_format))

    moving = opened(
        await thumbnail(alice, path, 96, 96, method="crop", animated="true")
    )
    still = opened(
        await thumbnail(alice, path, 96, 96, method="crop", animated="false")
    )
    small = opened(await thumbnail(alice, path, 640, 480))

    assert (moving.format, moving.n_frames, moving.size) == ("WEBP", 3, (96, 96))
    assert not getattr(still, "is_animated", False)
    assert not getattr(small, "is_animated", False)


@pytest.mark.parametrize(
    "media",
    [
        Media(
            thumbnails=Thumbnailing(
                premade=(PremadeThumbnail.CROP_96, PremadeThumbnail.SCALE_320)
            )
        )
    ],
)
@pytest.mark.one_process(reason="it waits for what one process makes")
async def test_thumbnails_may_be_there_before_somebody_asks(
    server: Server, alice: UserClient, tmp_path: Path
) -> None:
    path = await upload(alice, picture(), "image/png")
    await upload(alice, b"no image", "image/png")
    await upload(alice, b"some text", "text/plain")

    await server.app.media.uploads.premaking.waiting.join()

    assert len(stored_files(tmp_path)) == 3 + 2
    assert opened(await thumbnail(alice, path, 80, 80, method="crop")).size == (96, 96)
    assert opened(await thumbnail(alice, path, 300, 200)).size == (320, 224)
    assert len(stored_files(tmp_path)) == 3 + 2


async def test_the_same_thumbnail_is_made_once(
    alice: UserClient, bob: UserClient, tmp_path: Path
) -> None:
    first, second = await upload(alice, picture()), await upload(bob, picture())

    one, other = await thumbnail(alice, first), await thumbnail(bob, second)

    assert one.headers["etag"] == other.headers["etag"]
    assert len(stored_files(tmp_path)) == 2


@one_engine
@pytest.mark.parametrize(
    "body", [b"", b"no image", b"<svg/>", b"%PDF-1.4", b"P6 9999 9999 255 ", b"BM" * 99]
)
async def test_what_is_no_such_image_has_no_thumbnail(
    alice: UserClient, body: bytes
) -> None:
    """Neither has what Pillow could decode: no other decoder is reached."""
    path = await upload(alice, body, "image/png")

    response = await thumbnail(alice, path)

    assert (response.status, response.json["errcode"]) == (400, "M_UNKNOWN")


@pytest.mark.parametrize(
    "query", ["width=-1&height=5", "width=x&height=5", "width=5", "width=0&height=5"]
)
async def test_what_is_no_size_is_refused(alice: UserClient, query: str) -> None:
    path = await upload(alice, picture())

    response = await alice.get(f"{THUMBNAIL}/{path}?{query}")

    assert response.status == 400


async def test_an_unknown_method_is_refused(alice: UserClient) -> None:
    path = await upload(alice, picture())

    response = await thumbnail(alice, path, method="stretch")

    assert response.json["errcode"] == "M_INVALID_PARAM"


def bomb(side: int) -> bytes:
    """A PNG of *side* by *side* white pixels, in a few kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )


@one_engine
async def test_a_bomb_is_too_large(alice: UserClient) -> None:
    path = await upload(alice, bomb(30_000), "image/png")

    response = await thumbnail(alice, path)

    assert (response.status, response.json["errcode"]) == (413, "M_TOO_LARGE")


@one_engine
@pytest.mark.parametrize(
    "media",
    [Media(thumbnails=Thumbnailing(memory_mib=128, pixels_max=2_000_000_000))],
)
async def test_what_takes_too_much_memory_costs_one_request(alice: UserClient) -> None:
    """The worker's own limit holds where the look at the size let it by."""
    path = await upload(alice, bomb(20_000), "image/png")
    good = await upload(alice, picture())

    response = await thumbnail(alice, path)

    assert response.status in {413, 503}
    assert opened(await thumbnail(alice, good)).size == (320, 224)
