"""Rendezvous sessions at the HTTP edge, as JSON (MSC4388)."""

from typing import Final

import msgspec

from tremula.features.rendezvous.service import (
    LIFETIME_MS,
    PAYLOAD_BYTES_MAX,
    ConcurrentWriteError,
    Protocol,
    Rendezvous,
    check_fetch_mode,
)
from tremula.infra.http import (
    Auth,
    Json,
    OptionalUserRequest,
    Request,
    Response,
    endpoint,
)

_PATH: Final = "/_matrix/client/unstable/io.element.msc4388/rendezvous"
_SESSION: Final = "/_matrix/client/unstable/io.element.msc4388/rendezvous/{session_id}"

_OURS: Final = Protocol.MSC4388
# Room for a payload in which every character is escaped.
_BODY_BYTES_MAX: Final = 8 * PAYLOAD_BYTES_MAX


class BeginBody(msgspec.Struct):
    """Body of ``POST``."""

    data: str


class SendBody(msgspec.Struct):
    """Body of ``PUT``."""

    data: str
    sequence_token: str


@endpoint("GET", _PATH, auth=Auth.OPTIONAL, limit="default", guest=True)
async def discover_rendezvous(req: OptionalUserRequest, sessions: Rendezvous) -> Json:  # noqa: ARG001
    """Say that anybody may begin a session, as is decided for MSC4108."""
    return {"create_available": True}


@endpoint(
    "POST",
    _PATH,
    auth=Auth.OPTIONAL,
    limit="login",
    guest=True,
    max_body=_BODY_BYTES_MAX,
)
async def post_rendezvous(req: OptionalUserRequest, sessions: Rendezvous) -> Json:
    """Begin a session. Errors: M_TOO_LARGE, M_BAD_JSON, M_MISSING_PARAM."""
    session = await sessions.begin(_OURS, req.body(BeginBody).data.encode())
    return {
        "id": session.session_id,
        "sequence_token": str(session.sequence),
        "expires_in_ms": LIFETIME_MS,
    }


@endpoint("GET", _SESSION, auth=Auth.NONE, limit="default")
async def get_rendezvous(req: Request, sessions: Rendezvous) -> Json:
    """Show the payload. Errors: M_NOT_FOUND, M_FORBIDDEN."""
    check_fetch_mode(req.header("sec-fetch-mode"))
    session = await sessions.get(_OURS, req.path["session_id"])
    return {
        "data": session.payload.decode(),
        "sequence_token": str(session.sequence),
        "expires_in_ms": session.expires_ts_ms - sessions.clock.now_ms(),
    }


@endpoint("PUT", _SESSION, auth=Auth.NONE, limit="default", max_body=_BODY_BYTES_MAX)
async def put_rendezvous(req: Request, sessions: Rendezvous) -> Json:
    """Replace the payload of ``sequence_token``.

    Errors: M_NOT_FOUND, M_TOO_LARGE, IO_ELEMENT_MSC4388_CONCURRENT_WRITE, M_BAD_JSON,
    M_MISSING_PARAM.
    """
    body = req.body(SendBody)
    try:
        session = await sessions.send(
            _OURS,
            req.path["session_id"],
            body.data.encode(),
            seen=body.sequence_token,
        )
    except ConcurrentWriteError:
        return Response(
            409,
            {
                "errcode": "IO_ELEMENT_MSC4388_CONCURRENT_WRITE",
                "error": "there is a newer payload",
            },
        )
    return {"sequence_token": str(session.sequence)}


@endpoint("DELETE", _SESSION, auth=Auth.NONE, limit="default")
async def delete_rendezvous(req: Request, sessions: Rendezvous) -> Json:
    """End a session. Errors: M_NOT_FOUND."""
    await sessions.end(_OURS, req.path["session_id"])
    return {}
