"""Which URLs may be previewed."""

from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

from msgspec import Struct

from tremula.protocol.errors import InvalidParam
from tremula.protocol.globs import Glob


class UrlRules(Struct, frozen=True):
    """The operator's lists, as globs of whole URLs; None allowed means all."""

    allowed: tuple[Glob, ...] | None
    denied: tuple[Glob, ...]

    @classmethod
    def of(cls, allowed: Sequence[str] | None, denied: Sequence[str]) -> Self:
        """The lists of the configuration."""
        return cls(None if allowed is None else _globs(allowed), _globs(denied))

    def permits(self, url: str) -> bool:
        """Whether *url* may be asked; it is, of every redirect."""
        text = _comparable(url)
        if any(glob.matches(text) for glob in self.denied):
            return False
        return self.allowed is None or any(glob.matches(text) for glob in self.allowed)


def parse_url(raw: str) -> str:
    """A URL as it is asked for: in ASCII, without what follows ``#``.

    Raises:
        InvalidParam: it is no absolute http(s) URL.
    """
    # Loaded with the first preview, which many a server never makes.
    from yarl import URL  # noqa: PLC0415

    try:
        url = URL(raw.strip()).with_fragment(None)
    except (ValueError, TypeError):
        raise InvalidParam("not a URL") from None
    if url.scheme not in {"http", "https"} or not url.raw_host:
        raise InvalidParam("only http and https URLs have previews")
    if url.user is not None or url.password is not None:
        raise InvalidParam("a URL with a password has no preview")
    return str(url)


def _globs(patterns: Sequence[str]) -> tuple[Glob, ...]:
    return tuple(Glob(pattern, by_words=False) for pattern in patterns)


def _comparable(url: str) -> str:
    """In lower case, without the port that goes without saying, nor a final dot."""
    parts = urlsplit(url.lower())
    host = (parts.hostname or "").rstrip(".")
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in {None, usual} else f":{parts.port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{host}{port}{parts.path or '/'}{query}"
