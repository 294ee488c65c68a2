"""Registration at the HTTP edge (CS "Account registration")."""

from typing import Any

import msgspec

from tremula.features.devices.service import LoggedIn, parse_new_device
from tremula.features.registration.service import RegistrationRequest, Registrations
from tremula.infra.http import Auth, Json, Request, endpoint
from tremula.protocol.errors import InvalidParam
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


class RegisterGuestBody(msgspec.Struct):
    """Body of CS ``register`` for guests: the other parameters MUST be ignored."""

    initial_device_display_name: str | None = None


@endpoint("POST", "/_matrix/client/v3/register", auth=Auth.NONE, limit="registration")
async def register(req: Request, registrations: Registrations) -> Json:
    """CS register. Errors: 401 until authenticated, M_USER_IN_USE, M_INVALID_USERNAME,
    M_WEAK_PASSWORD, M_FORBIDDEN.
    """
    match req.query.get("kind"):
        case None | "user":
            return _answer(await _register_user(req, registrations))
        case "guest":
            name = req.body(RegisterGuestBody).initial_device_display_name
            device = parse_new_device(None, name, refreshable=False)
            return _answer(await registrations.register_guest(device))
        case _:
            raise InvalidParam("kind must be user or guest")


async def _register_user(
    req: Request, registrations: Registrations
) -> UserId | LoggedIn:
    body = req.body(RegisterBody)
    device = parse_new_device(
        body.device_id,
        body.initial_device_display_name,
        refreshable=body.refresh_token,
    )
    return await registrations.register(
        RegistrationRequest(
            username=body.username,
            password=body.password,
            device=None if body.inhibit_login else device,
            auth=body.auth,
        )
    )


@endpoint(
    "GET",
    "/_matrix/client/v3/register/available",
    auth=Auth.NONE,
    limit="registration",
)
async def check_username_availability(
    req: Request, registrations: Registrations
) -> Json:
    """CS checkUsernameAvailability. Errors: M_USER_IN_USE, M_INVALID_USERNAME."""
    await registrations.check_username(req.query.require("username"))
    return {"available": True}


@endpoint(
    "GET",
    "/_matrix/client/v1/register/m.login.registration_token/validity",
    auth=Auth.NONE,
    limit="registration",
)
async def registration_token_validity(
    req: Request, registrations: Registrations
) -> Json:
    """CS registrationTokenValidity. Errors: M_FORBIDDEN."""
    return {"valid": await registrations.is_token_valid(req.query.require("token"))}


def _answer(registered: UserId | LoggedIn) -> dict[str, Any]:
    if isinstance(registered, LoggedIn):
        return registered.body()
    return {"user_id": registered}
