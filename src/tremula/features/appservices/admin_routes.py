"""Application services as administrators see and change them; not in the
specification.
"""

from typing import Any, Final

from msgspec import to_builtins

from tremula.features.appservices.service import Appservice, Appservices
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


@endpoint("GET", _ALL, auth=Auth.USER, api=Api.ADMIN)
async def list_appservices(req: UserRequest, appservices: Appservices) -> Json:
    """All of them, without their tokens. Errors: M_FORBIDDEN."""
    req.check_admin()
    return {"appservices": [_summary(each) for each in appservices.all()]}


@endpoint("GET", _ONE, auth=Auth.USER, api=Api.ADMIN)
async def get_appservice(req: UserRequest, appservices: Appservices) -> Json:
    """One registration, with its tokens. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_admin()
    body: dict[str, Any] = to_builtins(
        appservices.get(req.path["appservice_id"]).registration
    )
    return body


@endpoint("PUT", _ONE, auth=Auth.USER, api=Api.ADMIN, max_body=EVENT_BODY_BYTES_MAX)
async def put_appservice(req: UserRequest, appservices: Appservices) -> Json:
    """Add or change one; the body is its registration. Errors: M_FORBIDDEN,
    M_INVALID_PARAM, M_MISSING_PARAM.
    """
    req.check_admin()
    registration = parse_registration(req.json_object())
    if registration.id != req.path["appservice_id"]:
        raise InvalidParam("id: is not that of the path")
    is_new = appservices.find(registration.id) is None
    await appservices.replace(registration)
    return Response(status=201 if is_new else 200)


@endpoint("DELETE", _ONE, auth=Auth.USER, api=Api.ADMIN)
async def delete_appservice(req: UserRequest, appservices: Appservices) -> Json:
    """Remove one; its users stay. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_admin()
    await appservices.remove(req.path["appservice_id"])
    return {}


def _summary(appservice: Appservice) -> dict[str, Any]:
    registration = appservice.registration
    return {
        "id": registration.id,
        "url": registration.url,
        "sender": appservice.sender,
        "owner": registration.owner,
        "from_file": appservice.from_file,
    }
