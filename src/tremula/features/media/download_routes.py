"""Downloads and thumbnails at the HTTP edge.

The endpoints without authentication serve what is public only: "frozen" as the
specification says, unless the operator goes on making uploads public.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from msgspec import Struct

from tremula.features.media.blobs import Blobs
from tremula.features.media.library import (
    WAIT_DEFAULT_MS,
    WAIT_MAX_MS,
    Library,
    Wanted,
)
from tremula.features.media.serving import media_headers, serve, thumbnail_headers
from tremula.features.media.thumbnailing import Thumbnails
from tremula.infra.http import Auth, Json, Request, UserRequest, endpoint
from tremula.protocol.media_headers import parse_filename
from tremula.protocol.mxc import Mxc
from tremula.protocol.thumbnails import Thumbnail, requested

R = TypeVar("R", bound=Request)
_Handler = Callable[[R, "Downloads"], Awaitable[Json]]

_LIMIT: Final = "media"


class Downloads(Struct, frozen=True):
    """What is there, its bytes, and small pictures of it."""

    library: Library
    blobs: Blobs
    thumbnails: Thumbnails


def _authed(
    path: str,
) -> Callable[[_Handler[UserRequest]], _Handler[UserRequest]]:
    """Declare an endpoint for users and guests."""
    path = "/_matrix/client/v1/media" + path
    return endpoint("GET", path, auth=Auth.USER, limit=_LIMIT, guest=True)


def _public(path: str) -> Callable[[_Handler[Request]], _Handler[Request]]:
    """Declare an endpoint for everybody."""
    path = "/_matrix/media/v3" + path
    return endpoint("GET", path, auth=Auth.NONE, limit=_LIMIT)


@_authed("/download/{server_name}/{media_id}")
async def get_content_authed(req: UserRequest, downloads: Downloads) -> Json:
    """CS getContentAuthed. Errors: M_NOT_FOUND, M_NOT_YET_UPLOADED, M_TOO_LARGE."""
    return await _download(req, downloads, _wanted(req))


@_authed("/download/{server_name}/{media_id}/{filename}")
async def get_content_override_name_authed(
    req: UserRequest, downloads: Downloads
) -> Json:
    """CS getContentOverrideNameAuthed. Errors as `get_content_authed`."""
    return await _download(req, downloads, _wanted(req))


@_authed("/thumbnail/{server_name}/{media_id}")
async def get_content_thumbnail_authed(req: UserRequest, downloads: Downloads) -> Json:
    """CS getContentThumbnailAuthed.

    Errors: M_NOT_FOUND, M_NOT_YET_UPLOADED, M_TOO_LARGE, M_INVALID_PARAM,
    M_MISSING_PARAM, M_UNKNOWN.
    """
    return await _thumbnail(req, downloads, _wanted(req))


@_public("/download/{server_name}/{media_id}")
async def get_content(req: Request, downloads: Downloads) -> Json:
    """CS getContent. Errors as `get_content_authed`."""
    return await _download(req, downloads, _wanted(req, public_only=True))


@_public("/download/{server_name}/{media_id}/{filename}")
async def get_content_override_name(req: Request, downloads: Downloads) -> Json:
    """CS getContentOverrideName. Errors as `get_content_authed`."""
    return await _download(req, downloads, _wanted(req, public_only=True))


@_public("/thumbnail/{server_name}/{media_id}")
async def get_content_thumbnail(req: Request, downloads: Downloads) -> Json:
    """CS getContentThumbnail. Errors as `get_content_thumbnail_authed`."""
    return await _thumbnail(req, downloads, _wanted(req, public_only=True))


async def _download(req: Request, downloads: Downloads, wanted: Wanted) -> Json:
    filename = parse_filename(req.path.get("filename"))
    stored = await downloads.library.get(wanted)
    return serve(
        req,
        downloads.blobs,
        stored.blob,
        media_headers(stored.media, filename=filename, is_public=wanted.public_only),
    )


async def _thumbnail(req: Request, downloads: Downloads, wanted: Wanted) -> Json:
    wish = parse_wish(req)
    stored = await downloads.library.get(wanted)
    made = await downloads.thumbnails.of(stored, wish)
    headers = thumbnail_headers(made.content_type, is_public=wanted.public_only)
    return serve(req, downloads.blobs, made.blob, headers)


def parse_wish(req: Request) -> Thumbnail:
    """The thumbnail that is asked for.

    Raises:
        MissingParam, InvalidParam: no image can be that.
    """
    for name in ("width", "height"):
        req.query.require(name)
    return requested(
        req.query.int("width", default=0),
        req.query.int("height", default=0),
        req.query.get("method"),
        is_animated=req.query.bool("animated"),
    )


def wait_ms(req: Request) -> int:
    """For how long the client waits for what is not uploaded yet."""
    return req.query.int("timeout_ms", default=WAIT_DEFAULT_MS, max=WAIT_MAX_MS)


def _wanted(req: Request, *, public_only: bool = False) -> Wanted:
    return Wanted(
        Mxc.of(req.path["server_name"], req.path["media_id"]),
        timeout_ms=wait_ms(req),
        public_only=public_only,
    )
