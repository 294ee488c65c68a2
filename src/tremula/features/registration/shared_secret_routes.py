"""Registration by shared secret at the HTTP edge; not in the specification."""

import msgspec

from tremula.features.registration.shared_secret import SharedSecretRegistration
from tremula.infra.http import Auth, Json, Request, endpoint
from tremula.protocol.identifiers import server_of

_PATH = "/_synapse/admin/v1/register"


class SharedSecretRegisterBody(msgspec.Struct):
    """What operators' scripts send."""

    nonce: str
    username: str
    password: str
    mac: str
    admin: bool = False
    user_type: str | None = None


@endpoint("GET", _PATH, auth=Auth.NONE, limit="account")
async def get_registration_nonce(
    _req: Request, registration: SharedSecretRegistration
) -> Json:
    """Issue a nonce. Errors: M_UNRECOGNIZED."""
    return {"nonce": await registration.issue_nonce()}


@endpoint("POST", _PATH, auth=Auth.NONE, limit="account")
async def register_with_shared_secret(
    req: Request, registration: SharedSecretRegistration
) -> Json:
    """Make an account. Errors: M_UNRECOGNIZED, M_FORBIDDEN, M_INVALID_PARAM,
    M_INVALID_USERNAME, M_USER_IN_USE.
    """
    body = req.body(SharedSecretRegisterBody)
    logged_in = await registration.register(
        nonce=body.nonce,
        username=body.username,
        password=body.password,
        is_admin=body.admin,
        user_type=body.user_type,
        mac=body.mac,
    )
    return {**logged_in.body(), "home_server": server_of(logged_in.user_id)}
