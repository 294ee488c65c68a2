"""Rendezvous sessions at the HTTP edge, as texts with an ``ETag`` (MSC4108)."""

import re
from email.utils import formatdate
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from tremula.features.rendezvous.service import (
    PAYLOAD_BYTES_MAX,
    ConcurrentWriteError,
    Protocol,
    Rendezvous,
    Session,
    check_fetch_mode,
)
from tremula.infra.http import Auth, Json, Request, Response, endpoint
from tremula.protocol.errors import InvalidParam, MissingParam

_PATH: Final = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
_SESSION: Final = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous/{session_id}"

_TEXT: Final = "text/plain"
_OURS: Final = Protocol.MSC4108
# "we only accept strong, single-valued ETag values"
_STRONG_ETAG: Final = re.compile(r'"([!#-~]*)"')
_ETAG: Final = re.compile(r'(?:W/)?"([!#-~]*)"')


class TextRendezvous(Struct, frozen=True):
    """Sessions, and the URL that clients reach this server at."""

    sessions: Rendezvous
    base_url: str


@endpoint("POST", _PATH, auth=Auth.NONE, limit="login", max_body=PAYLOAD_BYTES_MAX)
async def post_rendezvous_text(req: Request, edge: TextRendezvous) -> Json:
    """Begin a session.

    Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_TOO_LARGE, M_LIMIT_EXCEEDED.
    """
    _check_content(req)
    session = await edge.sessions.begin(_OURS, req.raw_body)
    url = edge.base_url.rstrip("/") + f"{_PATH}/{quote(session.session_id)}"
    return Response(201, {"url": url}, _headers(session))


@endpoint("GET", _SESSION, auth=Auth.NONE, limit="default")
async def get_rendezvous_text(req: Request, edge: TextRendezvous) -> Json:
    """Show the payload, unless it is the one of ``If-None-Match``.

    Errors: M_NOT_FOUND, M_FORBIDDEN.
    """
    check_fetch_mode(req.header("sec-fetch-mode"))
    session = await edge.sessions.get(_OURS, req.path["session_id"])
    known = _ETAG.findall(req.header("if-none-match") or "")
    if str(session.sequence) in known:
        return Response(304, headers=_headers(session))
    headers = {"Content-Type": _TEXT, "X-Content-Type-Options": "nosniff"}
    return Response(200, session.payload, headers | _headers(session))


@endpoint("PUT", _SESSION, auth=Auth.NONE, limit="default", max_body=PAYLOAD_BYTES_MAX)
async def put_rendezvous_text(req: Request, edge: TextRendezvous) -> Json:
    """Replace the payload of ``If-Match``.

    Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_NOT_FOUND, M_CONCURRENT_WRITE,
    M_TOO_LARGE.
    """
    _check_content(req)
    seen = _STRONG_ETAG.fullmatch(_required_header(req, "if-match"))
    if seen is None:
        raise InvalidParam("If-Match must be one strong entity tag")
    try:
        session = await edge.sessions.send(
            _OURS, req.path["session_id"], req.raw_body, seen=seen[1]
        )
    except ConcurrentWriteError as error:
        body = {"errcode": "M_CONCURRENT_WRITE", "error": "there is a newer payload"}
        return Response(412, body, _headers(error.session))
    return Response(202, headers=_headers(session))


@endpoint("DELETE", _SESSION, auth=Auth.NONE, limit="default")
async def delete_rendezvous_text(req: Request, edge: TextRendezvous) -> Json:
    """End a session. Errors: M_NOT_FOUND."""
    await edge.sessions.end(_OURS, req.path["session_id"])
    return Response(204)


def _check_content(req: Request) -> None:
    _required_header(req, "content-length")
    content_type = _required_header(req, "content-type")
    if content_type.partition(";")[0].strip().lower() != _TEXT:
        raise InvalidParam(f"the Content-Type must be {_TEXT}")


def _required_header(req: Request, name: str) -> str:
    value = req.header(name)
    if value is None:
        raise MissingParam(f"the header {name} is missing")
    return value


def _headers(session: Session) -> dict[str, str]:
    return {
        "ETag": f'"{session.sequence}"',
        "Expires": _http_date(session.expires_ts_ms),
        "Last-Modified": _http_date(session.modified_ts_ms),
        "Cache-Control": "no-store",
        "Pragma": "no-cache",
        "Access-Control-Expose-Headers": "ETag",
    }


def _http_date(ts_ms: int) -> str:
    return formatdate(ts_ms / 1000, usegmt=True)
