"""What other servers are served: only what was uploaded here."""

import secrets
from typing import Final

from tremula.features.media.blobs import Blob
from tremula.features.media.download_routes import Downloads, parse_wish, wait_ms
from tremula.features.media.library import Wanted
from tremula.features.media.serving import framed, media_headers, thumbnail_headers
from tremula.infra.config import Api
from tremula.infra.http import Auth, FederationRequest, Json, Response, endpoint
from tremula.protocol.multipart import multipart_frame
from tremula.protocol.mxc import Mxc

_PATH: Final = "/_matrix/federation/v1/media"


@endpoint(
    "GET",
    _PATH + "/download/{media_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
    limit="media",
)
async def get_content(req: FederationRequest, downloads: Downloads) -> Json:
    """SS getContent. Errors: M_NOT_FOUND, M_NOT_YET_UPLOADED."""
    stored = await downloads.library.get(_wanted(req, downloads))
    headers = media_headers(stored.media)
    return _multipart(downloads, stored.blob, headers)


@endpoint(
    "GET",
    _PATH + "/thumbnail/{media_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
    limit="media",
)
async def get_content_thumbnail(req: FederationRequest, downloads: Downloads) -> Json:
    """SS getContentThumbnail.

    Errors: M_NOT_FOUND, M_NOT_YET_UPLOADED, M_TOO_LARGE, M_INVALID_PARAM,
    M_MISSING_PARAM, M_UNKNOWN.
    """
    wish = parse_wish(req)
    stored = await downloads.library.get(_wanted(req, downloads))
    made = await downloads.thumbnails.of(stored, wish)
    return _multipart(downloads, made.blob, thumbnail_headers(made.content_type))


def _wanted(req: FederationRequest, downloads: Downloads) -> Wanted:
    mxc = Mxc.of(downloads.library.server_name, req.path["media_id"])
    return Wanted(mxc, timeout_ms=wait_ms(req), allow_remote=False)


def _multipart(downloads: Downloads, blob: Blob, headers: dict[str, str]) -> Json:
    boundary = secrets.token_hex(16)
    before, behind = multipart_frame(
        boundary, headers["Content-Type"], headers["Content-Disposition"]
    )
    return Response(
        200,
        framed(downloads.blobs, blob, before, behind),
        {
            "Content-Type": f"multipart/mixed; boundary={boundary}",
            "X-Content-Type-Options": "nosniff",
        },
    )
