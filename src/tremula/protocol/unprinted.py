"""Values of which nothing gets into a log."""

from msgspec import Struct


class Unprinted(Struct, frozen=True):
    """What has secrets in it: printed, it tells no more than its type."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
