"""Login and logout at the HTTP edge (CS "Login")."""

import msgspec

from tremula.features.devices.service import parse_new_device
from tremula.features.login import page
from tremula.features.login.service import LOGIN_TYPE, Logins
from tremula.features.login.tokens import LIFETIME_MS
from tremula.infra.http import (
    Auth,
    Json,
    Request,
    Response,
    UserRequest,
    endpoint,
    rate_limit_key,
)
from tremula.protocol.errors import Forbidden, MissingParam, Unknown
from tremula.protocol.login_identifiers import find_email_address, parse_user_name

_PASSWORD = "m.login.password"  # noqa: S105 - the name of a login type
_TOKEN = "m.login.token"  # noqa: S105 - and this


class LoginBody(msgspec.Struct):
    """Body of CS ``login``; whom it means is read by ``parse_user_name``."""

    type: str
    password: str | None = None
    token: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False


class GetTokenBody(msgspec.Struct):
    """Body of CS ``generateLoginToken``."""

    auth: object = None


@endpoint("GET", "/_matrix/client/v3/login", auth=Auth.NONE, limit="account")
async def get_login_flows(_req: Request, _logins: Logins) -> Json:
    """CS getLoginFlows."""
    token_flow = {"type": _TOKEN, "get_login_token": True}
    flows = [{"type": _PASSWORD}, token_flow, {"type": LOGIN_TYPE}]
    return {"flows": flows}


@endpoint("GET", "/_matrix/static/client/login", auth=Auth.NONE, limit="default")
async def get_login_page(_req: Request, _logins: Logins) -> Json:
    """CS "Login Fallback", with a slash at the end or without."""
    return Response(body=page.LOGIN_PAGE, headers=page.HEADERS)


@endpoint("POST", "/_matrix/client/v3/login", auth=Auth.NONE)
async def login(req: Request, logins: Logins) -> Json:
    """CS login. Errors: M_FORBIDDEN, M_MISSING_PARAM, M_INVALID_PARAM, M_UNKNOWN,
    M_EXCLUSIVE.
    """
    body = req.body(LoginBody)
    device = parse_new_device(
        body.device_id,
        body.initial_device_display_name,
        refreshable=body.refresh_token,
    )
    if body.type == LOGIN_TYPE:
        name = parse_user_name(req.json_object())
        virtual_users = logins.virtual_users
        return (await virtual_users.log_in(req.access_token, name, device)).body()
    # Application services are not limited: the limit is for those without a token.
    logins.limiter.check("login", rate_limit_key(req.client_ip))
    if body.type == _PASSWORD:
        password = _required(body.password, "password")
        address = find_email_address(req.json_object())
        if address is not None:
            return (await logins.by_email(address, password, device)).body()
        name = parse_user_name(req.json_object())
        return (await logins.by_password(name, password, device)).body()
    if body.type == _TOKEN:
        token = _required(body.token, "token")
        return (await logins.by_token(token, device)).body()
    raise Unknown("this login type is not supported", status=400)


def _required(value: str | None, key: str) -> str:
    if value is None:
        raise MissingParam(f"missing key '{key}'")
    return value


@endpoint("POST", "/_matrix/client/v1/login/get_token", auth=Auth.USER, limit="account")
async def generate_login_token(req: UserRequest, logins: Logins) -> Json:
    """CS generateLoginToken. Errors: 401 until authenticated, M_FORBIDDEN."""
    if req.device_id is None:
        raise Forbidden("only a device can log in another one")
    auth = req.body(GetTokenBody).auth
    token = await logins.tokens.issue(req.user_id, req.device_id, auth)
    return {"login_token": token, "expires_in_ms": LIFETIME_MS}


@endpoint("POST", "/_matrix/client/v3/logout", auth=Auth.USER)
async def logout(req: UserRequest, logins: Logins) -> Json:
    """CS logout."""
    if req.device_id is not None:
        await logins.devices.delete(req.user_id, [req.device_id])
    return {}


@endpoint("POST", "/_matrix/client/v3/logout/all", auth=Auth.USER)
async def logout_all(req: UserRequest, logins: Logins) -> Json:
    """CS logout_all."""
    await logins.devices.log_out_all(req.user_id)
    return {}
