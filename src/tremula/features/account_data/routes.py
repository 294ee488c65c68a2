"""Account data at the HTTP edge (CS module "Client Config")."""

from tremula.features.account_data.service import CONTENT_BYTES_MAX, AccountData
from tremula.infra.http import Auth, Json, UserRequest, endpoint


@endpoint(
    "GET", "/_matrix/client/v3/user/{user_id}/account_data/{type}", auth=Auth.USER
)
async def get_account_data(req: UserRequest, account_data: AccountData) -> Json:
    """CS getAccountData. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_own()
    return await account_data.get(req.user_id, req.path["type"])


@endpoint(
    "PUT",
    "/_matrix/client/v3/user/{user_id}/account_data/{type}",
    auth=Auth.USER,
    limit="account",
    max_body=2 * CONTENT_BYTES_MAX,
)
async def set_account_data(req: UserRequest, account_data: AccountData) -> Json:
    """CS setAccountData. Errors: M_FORBIDDEN, M_BAD_JSON, M_TOO_LARGE."""
    req.check_own()
    await account_data.put(req.user_id, req.path["type"], req.json_object())
    return {}


@endpoint(
    "GET",
    "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{type}",
    auth=Auth.USER,
)
async def get_account_data_per_room(
    req: UserRequest, account_data: AccountData
) -> Json:
    """CS getAccountDataPerRoom. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_NOT_FOUND."""
    req.check_own()
    return await account_data.get_in_room(
        req.user_id, req.path["room_id"], req.path["type"]
    )


@endpoint(
    "PUT",
    "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{type}",
    auth=Auth.USER,
    limit="account",
    max_body=2 * CONTENT_BYTES_MAX,
)
async def set_account_data_per_room(
    req: UserRequest, account_data: AccountData
) -> Json:
    """CS setAccountDataPerRoom.

    Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON, M_TOO_LARGE.
    """
    req.check_own()
    await account_data.put_in_room(
        req.user_id, req.path["room_id"], req.path["type"], req.json_object()
    )
    return {}
