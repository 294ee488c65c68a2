"""Which thumbnails there are, and which of them is for whom (CS "Thumbnails")."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import InvalidParam

# The longest side of a box, which no image is to fill: it limits nothing.
SIDE_MAX: Final = 32_767


class Method(StrEnum):
    """Whether all of the image is shown, or the box is filled."""

    CROP = "crop"
    SCALE = "scale"


class Thumbnail(Struct, frozen=True):
    """A thumbnail of an image: its box, and how it lies in there."""

    width: int
    height: int
    method: Method
    is_animated: bool = False

    @property
    def name(self) -> str:
        """What tells it apart from others of the same image."""
        still = "animated" if self.is_animated else "still"
        return f"{self.width}x{self.height}-{self.method}-{still}"


_CROPS: Final = (32, 96, 160, 320, 640, 1280, 2560, SIDE_MAX)
_SCALES: Final = (
    (320, 240),
    (640, 480),
    (800, 600),
    (1280, 960),
    (1920, 1440),
    (3840, 2880),
)
_WIDTHS: Final = (*(width for width, _ in _SCALES), SIDE_MAX)
_HEIGHTS: Final = (*(height for _, height in _SCALES), SIDE_MAX)


def requested(
    width: int, height: int, method: str | None, *, is_animated: bool
) -> Thumbnail:
    """What a client asks for.

    Who cares for one side only may ask for any length of the other: libQuotient asks
    for 65535.

    Raises:
        InvalidParam: no image can be that.
    """
    if width < 1 or height < 1:
        raise InvalidParam("width and height must be positive")
    width, height = min(width, SIDE_MAX), min(height, SIDE_MAX)
    try:
        return Thumbnail(width, height, Method(method or Method.SCALE), is_animated)
    except ValueError:
        raise InvalidParam("method must be crop or scale") from None


def served(wish: Thumbnail) -> Thumbnail:
    """Which thumbnail to make for *wish*.

    "Servers MUST NOT return a smaller thumbnail than requested", and may return a
    larger one: there are few sizes, so that no wish list fills the disk.
    """
    if wish.method is Method.SCALE:
        width, height = _box_to_scale_to(wish.width, wish.height)
        return Thumbnail(width, height, wish.method, wish.is_animated)
    if wish.width == wish.height:
        side = next(side for side in _CROPS if side >= wish.width)
        return Thumbnail(side, side, wish.method, wish.is_animated)
    # "The aspect matches the requested size": no other box will do.
    return wish


def _box_to_scale_to(width: int, height: int) -> tuple[int, int]:
    for box in _SCALES:
        if box[0] >= width and box[1] >= height:
            return box
    # One side is not to be limited: then the other decides alone.
    return (
        next(side for side in _WIDTHS if side >= width),
        next(side for side in _HEIGHTS if side >= height),
    )
