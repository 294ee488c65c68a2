"""Which thumbnail is for whom."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.errors import InvalidParam
from tremula.protocol.thumbnails import SIDE_MAX, Method, requested, served

sides = st.integers(1, SIDE_MAX)


@given(sides, sides, st.sampled_from(Method), st.booleans())
def test_what_is_served_is_at_least_what_is_asked(
    width: int,
    height: int,
    method: Method,
    is_animated: bool,
) -> None:
    wish = requested(width, height, method.value, is_animated=is_animated)

    made = served(wish)

    assert made.width >= width
    assert made.height >= height
    assert (made.method, made.is_animated) == (method, is_animated)
    if method is Method.CROP:
        assert made.width * height == made.height * width


def test_there_are_few_sizes_to_scale_to() -> None:
    around = [1, *(side + d for side in range(240, 4000, 40) for d in (0, 1)), SIDE_MAX]
    made = {
        served(requested(width, height, "scale", is_animated=False)).name
        for width, height in product(around, around)
    }

    # Six boxes, and six widths and six heights whose other side is not limited.
    assert len(made) == 6 + 6 + 6 + 1


def test_a_side_that_limits_nothing_leaves_it_to_the_other() -> None:
    """Quaternion asks for images 30 wide and 65535 high."""
    wide = served(requested(30, 65535, None, is_animated=False))
    high = served(requested(10**9, 500, None, is_animated=False))

    assert (wide.width, wide.height) == (320, SIDE_MAX)
    assert (high.width, high.height) == (SIDE_MAX, 600)


def test_the_sizes_of_the_specification_are_made_as_they_are() -> None:
    for width, height, method in (
        (32, 32, "crop"),
        (96, 96, "crop"),
        (320, 240, "scale"),
        (640, 480, "scale"),
        (800, 600, "scale"),
    ):
        wish = requested(width, height, method, is_animated=False)
        assert served(wish) == wish


@pytest.mark.parametrize(
    ("width", "height", "method"),
    [(0, 1, "crop"), (1, -1, None), (1, 1, "fit"), (1, 1, "")],
)
def test_what_no_image_can_be_is_refused(
    width: int, height: int, method: str | None
) -> None:
    if method == "":
        assert requested(width, height, method, is_animated=False).method == "scale"
        return
    with pytest.raises(InvalidParam):
        requested(width, height, method, is_animated=False)
