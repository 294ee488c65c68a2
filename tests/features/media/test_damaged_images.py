"""Damaged images of every format: each costs its own request, and nothing else."""

import random

import pytest

from tests.backends import one_engine
from tests.features.media.files import animation, opened, picture, thumbnail, upload
from tests.server import UserClient

SOURCES = {
    "JPEG": picture(300, 200, "JPEG"),
    "PNG": picture(300, 200, "PNG"),
    "WEBP": picture(300, 200, "WEBP"),
    "GIF": animation(3, "GIF"),
    "AVIF": picture(300, 200, "AVIF"),
}
DAMAGED = 25


def damaged(source: bytes, dice: random.Random) -> bytes:
    """*source* cut short, with bytes changed, or with a piece of itself elsewhere."""
    data = bytearray(source)
    for _ in range(dice.randint(1, 12)):
        place = dice.randrange(len(data))
        match dice.randrange(4):
            case 0:
                data[place] = dice.randrange(256)
            case 1:
                data[place : place + 4] = dice.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff")
                )
            case 2:
                piece = data[place : place + dice.randrange(64)]
                other = dice.randrange(len(data))
                data[other:other] = piece
            case _:
                if dice.random() < 0.3:
                    del data[max(place, 8) :]
    return bytes(data)


@one_engine
@pytest.mark.parametrize("image_format", SOURCES)
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_damaged_image_costs_one_request(
    alice: UserClient, image_format: str, seed: int
) -> None:
    dice = random.Random(f"{image_format}{seed}")  # noqa: S311 - no secret
    for _ in range(DAMAGED):
        path = await upload(alice, damaged(SOURCES[image_format], dice), "image/png")
        animated = dice.choice(("true", "false"))

        response = await thumbnail(alice, path, method="crop", animated=animated)

        assert response.status in {200, 400, 413, 503}, response.body
        # One that says that it is small is given back as it is.
        if "thumbnail." in response.headers.get("content-disposition", ""):
            opened(response).load()
    sane = await upload(alice, picture())
    assert opened(await thumbnail(alice, sane)).size == (320, 224)
