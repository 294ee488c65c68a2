"""Users' own bridges at the HTTP edge, as bridge-manager and asmux have them."""

from typing import Any, Final

import msgspec
from msgspec import to_builtins

from tremula.features.user_appservices.service import UserAppservices, Wanted
from tremula.infra.http import Auth, Json, Response, UserRequest, endpoint
from tremula.protocol.appservices import Registration
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import localpart_of

_PATH: Final = "/_matrix/asmux/mxauth/appservice/{owner}/{name}"


class BridgeBody(msgspec.Struct):
    """What a bridge wants."""

    address: str | None = None
    push: bool = False
    self_hosted: bool = False


@endpoint("PUT", _PATH, auth=Auth.USER, limit="account")
async def put_bridge(req: UserRequest, bridges: UserAppservices) -> Json:
    """Add or change a bridge. Errors: M_FORBIDDEN, M_EXCLUSIVE, M_INVALID_PARAM."""
    _check_owner(req)
    body = req.body(BridgeBody)
    wanted = Wanted(body.address, body.push, body.self_hosted)
    registration, is_new = await bridges.put(req.user_id, req.path["name"], wanted)
    return Response(status=201 if is_new else 200, body=_body(registration))


@endpoint("GET", _PATH, auth=Auth.USER, limit="account")
async def get_bridge(req: UserRequest, bridges: UserAppservices) -> Json:
    """The registration of a bridge. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    _check_owner(req)
    return _body(await bridges.get(req.user_id, req.path["name"]))


@endpoint("DELETE", _PATH, auth=Auth.USER, limit="account")
async def delete_bridge(req: UserRequest, bridges: UserAppservices) -> Json:
    """Remove a bridge. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    _check_owner(req)
    await bridges.remove(req.user_id, req.path["name"])
    return Response(status=204, body=b"")


def _check_owner(req: UserRequest) -> None:
    """Refuse whoever is not the owner in person.

    Raises:
        Forbidden: that is so.
    """
    if req.requester.appservice_id is not None:
        raise Forbidden("bridges are added by their owners")
    if req.path["owner"] not in {req.user_id, localpart_of(req.user_id)}:
        raise Forbidden("this belongs to another user")


def _body(registration: Registration) -> dict[str, Any]:
    body: dict[str, Any] = to_builtins(registration)
    return body
