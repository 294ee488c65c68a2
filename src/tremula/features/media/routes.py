"""Uploads at the HTTP edge, and what clients may upload."""

from typing import Final

from tremula.features.media.service import Description, Uploads
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.media_headers import parse_content_type, parse_filename
from tremula.protocol.mxc import Mxc

_LIMIT: Final = "media"


@endpoint(
    "POST", "/_matrix/media/v3/upload", auth=Auth.USER, limit=_LIMIT, max_body=None
)
async def upload_content(req: UserRequest, uploads: Uploads) -> Json:
    """CS uploadContent. Errors: M_FORBIDDEN, M_TOO_LARGE, M_INVALID_PARAM."""
    description = _description(req)
    bytes_max = uploads.admission.limits.config.upload_bytes_max
    mxc = await uploads.upload(
        req.user_id,
        description,
        req.stream.chunks(bytes_max),
        declared_bytes=req.stream.declared_bytes,
    )
    return {"content_uri": str(mxc)}


@endpoint("POST", "/_matrix/media/v1/create", auth=Auth.USER, limit=_LIMIT)
async def create_content(req: UserRequest, uploads: Uploads) -> Json:
    """CS createContent. Errors: M_FORBIDDEN, M_LIMIT_EXCEEDED, M_INVALID_PARAM.

    Bridges name what they upload, and are told if it is here.
    """
    unique_id = req.query.get("com.beeper.unique_id")
    created = await uploads.create(req.user_id, unique_id)
    answer: dict[str, object] = {"content_uri": str(created.mxc)}
    if created.expires_ts_ms is not None:
        answer["unused_expires_at"] = created.expires_ts_ms
    if unique_id is not None:
        answer["com.beeper.unique_id"] = unique_id
    if created.completed_ts_ms is not None:
        answer["com.beeper.completed_at"] = created.completed_ts_ms
    return answer


@endpoint(
    "PUT",
    "/_matrix/media/v3/upload/{server_name}/{media_id}",
    auth=Auth.USER,
    limit=_LIMIT,
    max_body=None,
)
async def upload_content_to_mxc(req: UserRequest, uploads: Uploads) -> Json:
    """CS uploadContentToMXC.

    Errors: M_NOT_FOUND, M_FORBIDDEN, M_CANNOT_OVERWRITE_MEDIA, M_TOO_LARGE,
    M_INVALID_PARAM.
    """
    mxc = Mxc.of(req.path["server_name"], req.path["media_id"])
    description = _description(req)
    await uploads.upload_to(
        mxc,
        req.user_id,
        description,
        req.stream.chunks(uploads.admission.limits.config.upload_bytes_max),
        declared_bytes=req.stream.declared_bytes,
    )
    return {}


@endpoint("GET", "/_matrix/media/v3/config", auth=Auth.USER, limit="default")
async def get_config(_req: UserRequest, uploads: Uploads) -> Json:
    """CS getConfig, which clients of before v1.11 ask."""
    return _config(uploads)


@endpoint("GET", "/_matrix/client/v1/media/config", auth=Auth.USER, limit="default")
async def get_config_authed(_req: UserRequest, uploads: Uploads) -> Json:
    """CS getConfigAuthed."""
    return _config(uploads)


def _config(uploads: Uploads) -> Json:
    return {"m.upload.size": uploads.admission.limits.config.upload_bytes_max}


def _description(req: UserRequest) -> Description:
    return Description(
        content_type=parse_content_type(req.header("content-type")),
        filename=parse_filename(req.query.get("filename")),
    )
