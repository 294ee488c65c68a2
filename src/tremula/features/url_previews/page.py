"""What an HTML page says of itself: OpenGraph, Twitter's cards, or its own words.

Pages are read as a stream of tags, without a tree: nesting them without end costs
nothing (CVE-2022-31052), and after each piece others have their turn.
"""

import asyncio
import codecs
import re
from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct, field

_PIECE_BYTES: Final = 8192
_PAGE_BYTES_MAX: Final = 524_288
_HEAD_BYTES: Final = 2048
_VALUE_CHARS_MAX: Final = 1000
_TEXT_CHARS_MAX: Final = 500
_PROPERTIES_MAX: Final = 50

_META_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}charset=[\"']?([\w-]{1,40})", re.IGNORECASE
)
_HEADER_CHARSET: Final = re.compile(r"charset=[\"']?([\w-]{1,40})", re.IGNORECASE)
# Encodings of text on the web; others that Python knows are no such thing, or slow.
_ENCODINGS: Final = re.compile(
    r"utf-?8|utf-?16(?:[bl]e)?|(?:us-)?ascii|iso-?8859-\d{1,2}|latin-?1"
    r"|windows-(?:125[0-8]|874)|koi8-[ru]|shift[_-]jis|euc-(?:jp|kr)|iso-2022-jp"
    r"|gb(?:2312|k|18030)|big5|macintosh",
    re.IGNORECASE,
)
_SILENT: Final = frozenset({"script", "style", "noscript", "template", "svg", "nav"})
_BLOCKS: Final = frozenset({"p", "div", "br", "li", "h1", "h2", "h3", "td", "section"})
_SPACE: Final = re.compile(r"\s+")


class Page(Struct):
    """What was found; ``properties`` are those of its ``meta`` tags, the first of each.

    ``oembed_url`` is where it says more of itself.
    """

    properties: dict[str, str] = field(default_factory=dict[str, str])
    title: str = ""
    text: str = ""
    oembed_url: str | None = None

    def first(self, *names: str) -> str | None:
        """The first of these properties that is there."""
        return next(
            (self.properties[name] for name in names if self.properties.get(name)), None
        )


class _Reader:
    """The target of the parser: notes what `Page` has, and nothing else."""

    def __init__(self) -> None:
        self.page = Page()
        self._silent: str | None = None
        self._is_in_title = False
        self._titles = 0
        self._words: list[str] = []
        self._title: list[str] = []
        self._chars = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._silent is not None:
            return
        match tag:
            case "meta":
                self._meta(attributes)
            case "link":
                self._link(attributes)
            case "title":
                self._titles += 1
                self._is_in_title = True
            case _ if tag in _SILENT:
                self._silent = tag
            case _ if tag in _BLOCKS:
                self._words.append(" ")

    def end(self, tag: str) -> None:
        if tag == self._silent:
            self._silent = None
        elif tag == "title":
            self._is_in_title = False

    def data(self, text: str) -> None:
        if self._is_in_title:
            if self._titles == 1:
                self._title.append(text[:_VALUE_CHARS_MAX])
        elif self._silent is None and self._chars < 4 * _TEXT_CHARS_MAX:
            self._words.append(text[: 4 * _TEXT_CHARS_MAX])
            self._chars += len(text.strip())

    def close(self) -> Page:
        self.page.title = tidied("".join(self._title), _VALUE_CHARS_MAX)
        self.page.text = tidied("".join(self._words), _TEXT_CHARS_MAX)
        return self.page

    def _meta(self, attributes: dict[str, str]) -> None:
        name = (attributes.get("property") or attributes.get("name") or "").lower()
        properties = self.page.properties
        if name and name not in properties and len(properties) < _PROPERTIES_MAX:
            value = tidied(attributes.get("content") or "", 2 * _VALUE_CHARS_MAX)
            properties[name[:100]] = value

    def _link(self, attributes: dict[str, str]) -> None:
        kind = (attributes.get("type") or "").lower()
        if kind == "application/json+oembed" and self.page.oembed_url is None:
            self.page.oembed_url = attributes.get("href")


async def read_page(chunks: AsyncIterator[bytes], content_type: str) -> Page:
    """What the beginning of a page says; half a megabyte has to do."""
    start, rest = await _beginning(chunks)
    decoder = codecs.getincrementaldecoder(_encoding(content_type, start))("replace")
    reader = _Reader()
    # It ships no types. Loaded with the first preview, which many servers never make.
    from lxml import etree  # type: ignore[import-untyped]  # noqa: PLC0415

    parser = etree.HTMLParser(target=reader, encoding="utf-8", no_network=True)
    size = 0
    async for piece in _pieces(start, rest):
        size += len(piece)
        parser.feed(decoder.decode(piece).encode("utf-8"))
        if size >= _PAGE_BYTES_MAX:
            break
        await asyncio.sleep(0)
    try:
        parser.close()
    except etree.XMLSyntaxError:
        # Of a page without a single tag.
        return reader.close()
    return reader.page


def tidied(text: str, chars_max: int) -> str:
    """*text* on one line, shortened at a word's end if there is one near: not all that
    is written has spaces.
    """
    text = _SPACE.sub(" ", text.replace("\0", "")).strip()
    if len(text) <= chars_max:
        return text
    start = text[: chars_max - 1]
    words = start.rpartition(" ")[0]
    return (words if len(words) > chars_max // 2 else start) + "…"


async def _beginning(
    chunks: AsyncIterator[bytes],
) -> tuple[bytes, AsyncIterator[bytes]]:
    start = b""
    async for chunk in chunks:
        start += chunk
        if len(start) >= _HEAD_BYTES:
            break
    return start, chunks


async def _pieces(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for place in range(0, len(start), _PIECE_BYTES):
        yield start[place : place + _PIECE_BYTES]
    async for chunk in rest:
        for place in range(0, len(chunk), _PIECE_BYTES):
            yield chunk[place : place + _PIECE_BYTES]


def _encoding(content_type: str, start: bytes) -> str:
    """By its mark, by the header, or by what the page itself says."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if start.startswith(mark):
            return name
    in_header = _HEADER_CHARSET.search(content_type)
    in_page = _META_CHARSET.search(start[:_HEAD_BYTES])
    names = [in_header[1]] if in_header else []
    names += [in_page[1].decode("ascii", "replace")] if in_page else []
    for name in names:
        if _ENCODINGS.fullmatch(name):
            try:
                return codecs.lookup(name).name
            except LookupError:
                continue
    return "utf-8"
