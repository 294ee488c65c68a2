"""Application services as administrators get them; not in the specification."""

from typing import Final

import msgspec

from tremula.features.appservice_administration.service import (
    AppserviceAdministration,
)
from tremula.infra.http import (
    EVENT_BODY_BYTES_MAX,
    Api,
    Auth,
    Json,
    Response,
    UserRequest,
    endpoint,
)
from tremula.protocol.appservices import parse_registration
from tremula.protocol.errors import InvalidParam

_ALL: Final = "/_tremula/admin/v1/appservices"
_ONE: Final = "/_tremula/admin/v1/appservices/{appservice_id}"


class ReplayBody(msgspec.Struct):
    """From when on an application service is told again, in ms since the epoch."""

    since_ts: int


@endpoint("GET", _ALL, auth=Auth.USER, api=Api.ADMIN)
async def list_appservices(req: UserRequest, service: AppserviceAdministration) -> Json:
    """All of them, without their tokens. Errors: M_FORBIDDEN."""
    req.check_admin()
    return {"appservices": await service.summaries()}


@endpoint("GET", _ONE, auth=Auth.USER, api=Api.ADMIN)
async def get_appservice(req: UserRequest, service: AppserviceAdministration) -> Json:
    """One of them, with its tokens. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_admin()
    return await service.describe(req.path["appservice_id"])


@endpoint("PUT", _ONE, auth=Auth.USER, api=Api.ADMIN, max_body=EVENT_BODY_BYTES_MAX)
async def put_appservice(req: UserRequest, service: AppserviceAdministration) -> Json:
    """Add or change one; the body is its registration. Errors: M_FORBIDDEN,
    M_INVALID_PARAM, M_MISSING_PARAM.
    """
    req.check_admin()
    registration = parse_registration(req.json_object())
    if registration.id != req.path["appservice_id"]:
        raise InvalidParam("id: is not that of the path")
    is_new = await service.put(registration)
    return Response(status=201 if is_new else 200)


@endpoint("DELETE", _ONE, auth=Auth.USER, api=Api.ADMIN)
async def delete_appservice(
    req: UserRequest, service: AppserviceAdministration
) -> Json:
    """Remove one; its users stay. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_admin()
    await service.remove(req.path["appservice_id"])
    return {}


@endpoint("POST", f"{_ONE}/replay", auth=Auth.USER, api=Api.ADMIN)
async def replay_appservice(
    req: UserRequest, service: AppserviceAdministration
) -> Json:
    """Tell one again of what was sent. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_admin()
    since_ms = req.body(ReplayBody).since_ts
    appservice_id = req.path["appservice_id"]
    return {"events": await service.replay(appservice_id, since_ms=since_ms)}
