"""Media as an answer: safe headers, parts, and nothing that the client has already."""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Final

from tremula.features.media.blobs import Blob, Blobs
from tremula.features.media.storage import Media
from tremula.infra.blobs.store import Piece
from tremula.infra.http import Json, Request, Response
from tremula.infra.http.response import StreamedBody
from tremula.protocol.byte_ranges import NotSatisfiable, is_known, is_meant, parse_range
from tremula.protocol.errors import InvalidParam, Unknown
from tremula.protocol.media_headers import content_disposition, disposition_of

# What the specification recommends, and what keeps browsers from guessing a type, from
# telling others where they come from, and from finding what they have in a search.
_SAFE: Final = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf;"
        " style-src 'unsafe-inline'; object-src 'self';"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive, noimageindex",
    "Accept-Ranges": "bytes",
}
# What is behind an mxc:// URI never changes; who has no token any more may keep what it
# had. Hidden media shall be gone from caches within a day.
_CACHED: Final = {"Cache-Control": "private, max-age=86400, immutable"}
_CACHED_BY_ALL: Final = {"Cache-Control": "public, max-age=86400, immutable"}


def serve(req: Request, blobs: Blobs, blob: Blob, headers: Mapping[str, str]) -> Json:
    """The answer with *blob*: all of it, a part, or nothing if it is known.

    Raises:
        Unknown: (412) the client wants something else, as ``If-Match`` says.
    """
    etag = f'"{blob.sha256}"'
    if not is_meant(etag, req.header("if-match")):
        raise Unknown("this is not what If-Match names", status=412)
    headers = {**headers, "ETag": etag}
    if is_known(etag, req.header("if-none-match")):
        return Response(304, headers=headers)
    try:
        part = parse_range(_asked_range(req, etag), blob.size_bytes)
    except NotSatisfiable:
        refusal = InvalidParam("the range begins behind the end", status=416)
        return Response(
            416, refusal.body(), {"Content-Range": f"bytes */{blob.size_bytes}"}
        )
    if part is None:
        chunks = partial(blobs.read, blob.object_key, 0, blob.size_bytes)
        return Response(200, StreamedBody(blob.size_bytes, chunks), headers)
    headers["Content-Range"] = part.content_range
    chunks = partial(blobs.read, blob.object_key, part.start, part.length)
    return Response(206, StreamedBody(part.length, chunks), headers)


def _asked_range(req: Request, etag: str) -> str | None:
    # A part is only of use to who has the rest of the same.
    if req.header("if-range") not in {None, etag}:
        return None
    # RFC 9110: "GET is the only method for which range handling is defined."
    return req.header("range") if req.method == "GET" else None


def media_headers(
    media: Media, *, filename: str | None = None, is_public: bool = False
) -> dict[str, str]:
    """What goes with media; *filename* takes the place of its own."""
    disposition = disposition_of(media.content_type)
    return {
        **_SAFE,
        **(_CACHED_BY_ALL if is_public else _CACHED),
        "Content-Type": media.content_type,
        "Content-Disposition": content_disposition(
            disposition, filename or media.filename
        ),
    }


def thumbnail_headers(content_type: str, *, is_public: bool = False) -> dict[str, str]:
    """What goes with a thumbnail: "Content-Disposition MUST be inline"."""
    name = f"thumbnail.{content_type.removeprefix('image/')}"
    return {
        **_SAFE,
        **(_CACHED_BY_ALL if is_public else _CACHED),
        "Content-Type": content_type,
        "Content-Disposition": content_disposition(disposition_of(content_type), name),
    }


def framed(blobs: Blobs, blob: Blob, before: bytes, behind: bytes) -> StreamedBody:
    """The bytes between two others, for other servers."""

    async def chunks() -> AsyncGenerator[Piece]:
        yield before
        async for chunk in blobs.read(blob.object_key, 0, blob.size_bytes):
            yield chunk
        yield behind

    return StreamedBody(len(before) + blob.size_bytes + len(behind), chunks)
