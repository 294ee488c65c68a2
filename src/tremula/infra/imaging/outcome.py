"""What becomes of an image, in words that go from one process to the other."""

from enum import StrEnum


class Outcome(StrEnum):
    """What there is now."""

    MADE = "made"
    ORIGINAL = "original"
    """The image is no larger than was asked for, and what a thumbnail may be."""

    TOO_LARGE = "too_large"
    UNDECODABLE = "undecodable"
