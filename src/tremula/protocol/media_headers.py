"""The headers that media come and go with: what type they are, what they are called.

CS "Serving inline content"; RFC 6266 and RFC 8187 for names.
"""

import re
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from tremula.protocol.errors import InvalidParam

OCTET_STREAM: Final = "application/octet-stream"
FILENAME_CHARS_MAX: Final = 255

_TYPE_CHARS_MAX: Final = 255
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"'
_CONTENT_TYPE: Final = re.compile(
    rf"{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|{_QUOTED}))*",
    re.ASCII,
)
_PARAMETER: Final = re.compile(rf";\s*({_WORD})\s*=\s*({_QUOTED}|[^;\s]*)")
_ESCAPED: Final = re.compile(r"\\(.)")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# What may stand between quotes as it is.
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*")

INLINE_TYPES: Final = frozenset(
    {
        "text/css",
        "text/plain",
        "text/csv",
        "application/json",
        "application/ld+json",
        "image/jpeg",
        "image/gif",
        "image/png",
        "image/apng",
        "image/webp",
        "image/avif",
        "video/mp4",
        "video/webm",
        "video/ogg",
        "video/quicktime",
        "audio/mp4",
        "audio/webm",
        "audio/aac",
        "audio/mpeg",
        "audio/ogg",
        "audio/wave",
        "audio/wav",
        "audio/x-wav",
        "audio/x-pn-wav",
        "audio/flac",
        "audio/x-flac",
    }
)
"""What is "unlikely to cause Cross-Site Scripting issues" when shown by a browser."""


class Disposition(StrEnum):
    """Whether a browser shows a file or saves it."""

    INLINE = "inline"
    ATTACHMENT = "attachment"


def parse_content_type(raw: str | None) -> str:
    """The type as it was declared; what is no type is ``application/octet-stream``."""
    value = (raw or "").strip(" \t")
    if len(value) > _TYPE_CHARS_MAX or not _CONTENT_TYPE.fullmatch(value):
        return OCTET_STREAM
    return value


def essence_of(content_type: str) -> str:
    """Type and subtype in lower case, without parameters."""
    return content_type.partition(";")[0].strip(" \t").lower()


def disposition_of(content_type: str) -> Disposition:
    """How a file of this type is served."""
    is_safe = essence_of(content_type) in INLINE_TYPES
    return Disposition.INLINE if is_safe else Disposition.ATTACHMENT


def content_disposition(disposition: Disposition, filename: str | None) -> str:
    """The header's value; a name beyond ASCII is in the form of RFC 8187."""
    if filename is None:
        return disposition.value
    if _PLAIN.fullmatch(filename):
        return f'{disposition}; filename="{filename}"'
    return f"{disposition}; filename*=utf-8''{quote(filename, safe='')}"


def parse_filename(raw: str | None) -> str | None:
    """The name that an upload is given; None for none.

    Raises:
        InvalidParam: it is too long, or has control characters.
    """
    if not raw:
        return None
    if len(raw) > FILENAME_CHARS_MAX:
        raise InvalidParam(f"a file name has at most {FILENAME_CHARS_MAX} characters")
    if _CONTROLS.search(raw):
        raise InvalidParam("a file name has no control characters")
    return raw


def filename_in(disposition: str | None) -> str | None:
    """The file name in a ``Content-Disposition``, ``filename*`` before ``filename``.

    What comes from elsewhere is taken as far as it goes, never refused.
    """
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall((disposition or "")[:4096]):
        found.setdefault(name.lower(), value)
    extended = _decode_extended(found.get("filename*", ""))
    name = extended or _unquote(found.get("filename", ""))
    name = _CONTROLS.sub("", name)[:FILENAME_CHARS_MAX]
    return name or None


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == '"' == value[-1]:
        value = _ESCAPED.sub(r"\1", value[1:-1])
    # Headers come as Latin-1, though many write UTF-8.
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _decode_extended(value: str) -> str:
    charset, _, rest = value.strip('"').partition("'")
    _, _, encoded = rest.partition("'")
    if charset.lower() not in {"utf-8", "iso-8859-1"}:
        return ""
    return unquote_to_bytes(encoded).decode(charset, errors="replace")
