"""Parts of a representation, and whether the client has it already (RFC 9110)."""

import re
from typing import Final

from msgspec import Struct

# As many digits as 64 bits take: some say so that they want all that is left.
_RANGE: Final = re.compile(r"(?i:bytes)=(?:([0-9]{1,20})-([0-9]{0,20})|-([0-9]{1,20}))")
_ETAG: Final = re.compile(r'((?:W/)?)("[!#-~]*")')


class ByteRange(Struct, frozen=True):
    """*length* bytes from *start* on, of *total*."""

    start: int
    length: int
    total: int

    @property
    def content_range(self) -> str:
        """The header of an answer that has just this part."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.total}"


class NotSatisfiable(Exception):
    """The range begins where nothing is."""


def parse_range(header: str | None, total: int) -> ByteRange | None:
    """The part that is asked for; None for the whole.

    Several ranges, and what is no range, are ignored, as is allowed.

    Raises:
        NotSatisfiable: it begins behind the end.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(int(suffix), total)
        if not length:
            raise NotSatisfiable
        return ByteRange(total - length, length, total)
    start = int(first)
    end = min(int(last), total - 1) if last else total - 1
    if last and int(last) < start:
        return None
    if start >= total:
        raise NotSatisfiable
    return ByteRange(start, end - start + 1, total)


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether ``If-None-Match`` says that the client has what *etag* names."""
    header = (if_none_match or "").strip()
    return header == "*" or any(each == etag for _, each in _etags(header))


def is_meant(etag: str, if_match: str | None) -> bool:
    """Whether ``If-Match``, if there is one, allows for what *etag* names.

    "An origin server MUST use the strong comparison function": a weak one never does.
    """
    if if_match is None:
        return True
    header = if_match.strip()
    return header == "*" or ("", etag) in _etags(header)


def _etags(header: str) -> list[tuple[str, str]]:
    """What is named: ``W/`` before what is weak, and the rest."""
    return _ETAG.findall(header[:4096])
