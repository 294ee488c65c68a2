"""Login and logout at the HTTP edge (CS "Login")."""

import msgspec

from tremula.features.devices.service import parse_new_device
from tremula.features.login.service import Logins
from tremula.infra.http import Auth, Json, Request, UserRequest, endpoint
from tremula.protocol.errors import MissingParam, Unknown
from tremula.protocol.login_identifiers import parse_user_name

_PASSWORD = "m.login.password"  # noqa: S105 - the name of a login type


class LoginBody(msgspec.Struct):
    """Body of CS ``login``; whom it means is read by ``parse_user_name``."""

    type: str
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False


@endpoint("GET", "/_matrix/client/v3/login", auth=Auth.NONE, limit="account")
async def get_login_flows(_req: Request, _logins: Logins) -> Json:
    """CS getLoginFlows."""
    return {"flows": [{"type": _PASSWORD}]}


@endpoint("POST", "/_matrix/client/v3/login", auth=Auth.NONE, limit="login")
async def login(req: Request, logins: Logins) -> Json:
    """CS login. Errors: M_FORBIDDEN, M_MISSING_PARAM, M_INVALID_PARAM, M_UNKNOWN."""
    body = req.body(LoginBody)
    if body.type != _PASSWORD:
        raise Unknown("this login type is not supported", status=400)
    name = parse_user_name(req.json_object())
    if body.password is None:
        raise MissingParam("missing key 'password'")
    device = parse_new_device(
        body.device_id,
        body.initial_device_display_name,
        refreshable=body.refresh_token,
    )
    logged_in = await logins.by_password(name, body.password, device)
    return logged_in.body()


@endpoint("POST", "/_matrix/client/v3/logout", auth=Auth.USER)
async def logout(req: UserRequest, logins: Logins) -> Json:
    """CS logout."""
    if req.device_id is not None:
        await logins.devices.delete(req.user_id, [req.device_id])
    return {}


@endpoint("POST", "/_matrix/client/v3/logout/all", auth=Auth.USER)
async def logout_all(req: UserRequest, logins: Logins) -> Json:
    """CS logout_all."""
    await logins.devices.delete_all(req.user_id)
    return {}
