"""Registration at the HTTP edge (CS "Account registration")."""

from typing import Any

import msgspec

from tremula.features.devices.service import LoggedIn, NewDevice, parse_new_device
from tremula.features.registration.service import RegistrationRequest, Registrations
from tremula.features.virtual_users.service import LOGIN_TYPE, VirtualUsers
from tremula.infra.http import Auth, Json, Request, endpoint, rate_limit_key
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.errors import InvalidParam, MissingParam
from tremula.protocol.identifiers import UserId


class RegisterBody(msgspec.Struct):
    """Body of CS ``register``."""

    username: str | None = None
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    inhibit_login: bool = False
    refresh_token: bool = False
    auth: object = None


class RegisterEdge(msgspec.Struct, frozen=True):
    """What the endpoints below need."""

    registrations: Registrations
    virtual_users: VirtualUsers
    limiter: RateLimiter


class RegisterGuestBody(msgspec.Struct):
    """Body of CS ``register`` for guests: the other parameters MUST be ignored."""

    initial_device_display_name: str | None = None


@endpoint("POST", "/_matrix/client/v3/register", auth=Auth.NONE)
async def register(req: Request, edge: RegisterEdge) -> Json:
    """CS register. Errors: 401 until authenticated, M_USER_IN_USE, M_INVALID_USERNAME,
    M_WEAK_PASSWORD, M_FORBIDDEN, M_EXCLUSIVE.
    """
    if req.json_object().get("type") == LOGIN_TYPE:
        return _answer(await _register_virtual(req, edge.virtual_users))
    # Application services are not limited: the limit is for those without a token.
    edge.limiter.check("registration", rate_limit_key(req.client_ip))
    registrations = edge.registrations
    match req.query.get("kind"):
        case None | "user":
            return _answer(await _register_user(req, registrations))
        case "guest":
            name = req.body(RegisterGuestBody).initial_device_display_name
            device = parse_new_device(None, name, refreshable=False)
            return _answer(await registrations.register_guest(device))
        case _:
            raise InvalidParam("kind must be user or guest")


async def _register_virtual(
    req: Request, virtual_users: VirtualUsers
) -> UserId | LoggedIn:
    body = req.body(RegisterBody)
    if body.username is None:
        raise MissingParam("missing key 'username'")
    return await virtual_users.register(
        req.access_token, body.username, _device_of(body)
    )


async def _register_user(
    req: Request, registrations: Registrations
) -> UserId | LoggedIn:
    body = req.body(RegisterBody)
    return await registrations.register(
        RegistrationRequest(
            username=body.username,
            password=body.password,
            device=_device_of(body),
            auth=body.auth,
        )
    )


def _device_of(body: RegisterBody) -> NewDevice | None:
    device = parse_new_device(
        body.device_id,
        body.initial_device_display_name,
        refreshable=body.refresh_token,
    )
    return None if body.inhibit_login else device


@endpoint(
    "GET",
    "/_matrix/client/v3/register/available",
    auth=Auth.NONE,
    limit="registration",
)
async def check_username_availability(req: Request, edge: RegisterEdge) -> Json:
    """CS checkUsernameAvailability. Errors: M_USER_IN_USE, M_INVALID_USERNAME,
    M_EXCLUSIVE.
    """
    await edge.registrations.check_username(req.query.require("username"))
    return {"available": True}


@endpoint(
    "GET",
    "/_matrix/client/v1/register/m.login.registration_token/validity",
    auth=Auth.NONE,
    limit="registration",
)
async def registration_token_validity(req: Request, edge: RegisterEdge) -> Json:
    """CS registrationTokenValidity. Errors: M_FORBIDDEN."""
    return {
        "valid": await edge.registrations.is_token_valid(req.query.require("token"))
    }


def _answer(registered: UserId | LoggedIn) -> dict[str, Any]:
    if isinstance(registered, LoggedIn):
        return registered.body()
    return {"user_id": registered}
