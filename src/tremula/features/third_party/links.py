"""Where a browser may be sent once an address is proved. Pure."""

from collections.abc import Collection
from urllib.parse import urlsplit

_CHARS_MAX = 2_000


def find_next_link(raw: str | None, allowed_hosts: Collection[str]) -> str | None:
    """*raw* if it leads to one of *allowed_hosts*, else None.

    Whoever asks for a mail chooses the link, and whoever follows the mail trusts us: so
    it leads to no other place, and to none that browsers and we understand differently.
    """
    if raw is None or len(raw) > _CHARS_MAX or not raw.isascii():
        return None
    if not raw.isprintable() or any(char in raw for char in ' \\"<>`'):
        return None
    try:
        parts = urlsplit(raw)
        host = parts.hostname
        has_user = parts.username is not None or parts.password is not None
    except ValueError:
        return None
    if parts.scheme != "https" or host is None or has_user:
        return None
    return raw if host in allowed_hosts else None
