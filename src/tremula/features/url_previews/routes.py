"""Previews at the HTTP edge."""

from typing import Final

from tremula.features.url_previews.service import UrlPreviews
from tremula.infra.http import Auth, Json, UserRequest, endpoint

_LIMIT: Final = "url_previews"


@endpoint("GET", "/_matrix/client/v1/media/preview_url", auth=Auth.USER, limit=_LIMIT)
async def get_url_preview_authed(req: UserRequest, previews: UrlPreviews) -> Json:
    """CS getUrlPreviewAuthed. The newest is shown, whatever ``ts`` is.

    Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_FORBIDDEN, M_UNKNOWN.
    """
    return await _preview(req, previews)


@endpoint("GET", "/_matrix/media/v3/preview_url", auth=Auth.USER, limit=_LIMIT)
async def get_url_preview(req: UserRequest, previews: UrlPreviews) -> Json:
    """CS getUrlPreview. Errors as `get_url_preview_authed`."""
    return await _preview(req, previews)


async def _preview(req: UserRequest, previews: UrlPreviews) -> Json:
    req.query.int("ts", default=0)
    return await previews.of(req.query.require("url"))
