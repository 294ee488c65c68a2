"""What waits for work in the background, for whoever looks after a server."""

from msgspec import Struct


class Backlog(Struct, frozen=True):
    """How many things wait, for how many servers, users or devices, and since when.

    ``since_ms`` is the time of the oldest: None if there is none, or nobody knows.
    """

    waiting: int
    places: int
    since_ms: int | None = None
