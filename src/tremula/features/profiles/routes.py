"""Profiles at the HTTP edge (CS "Profiles")."""

from tremula.features.profiles.service import Profiles
from tremula.infra.http import Auth, Json, Request, UserRequest, endpoint
from tremula.protocol.errors import GuestAccessForbidden, MissingParam
from tremula.protocol.identifiers import parse_user_id
from tremula.protocol.profiles import DISPLAYNAME

# Room for a profile of 64 KiB in which JSON escapes many characters.
_BODY_BYTES_MAX = 6 * 65_536


@endpoint(
    "GET", "/_matrix/client/v3/profile/{user_id}", auth=Auth.NONE, limit="account"
)
async def get_user_profile(req: Request, profiles: Profiles) -> Json:
    """CS getUserProfile. Errors: M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN, 502."""
    return await profiles.get(parse_user_id(req.path["user_id"]))


@endpoint(
    "GET",
    "/_matrix/client/v3/profile/{user_id}/{key_name}",
    auth=Auth.NONE,
    limit="account",
)
async def get_profile_field(req: Request, profiles: Profiles) -> Json:
    """CS getProfileField. Errors: M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN, 502."""
    name = req.path["key_name"]
    value = await profiles.get_field(parse_user_id(req.path["user_id"]), name)
    return b'{"%b":%b}' % (name.encode(), value)


@endpoint(
    "PUT",
    "/_matrix/client/v3/profile/{user_id}/{key_name}",
    auth=Auth.USER,
    limit="account",
    guest=True,
    max_body=_BODY_BYTES_MAX,
)
async def set_profile_field(req: UserRequest, profiles: Profiles) -> Json:
    """CS setProfileField.

    Errors: M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN, M_MISSING_PARAM, M_BAD_JSON,
    M_INVALID_PARAM, M_KEY_TOO_LARGE, M_PROFILE_TOO_LARGE.
    """
    name = _changed_field(req)
    body = req.json_object()
    if name not in body:
        raise MissingParam(f"missing key {name!r}")
    await profiles.set_field(req.user_id, name, body[name])
    return {}


@endpoint(
    "DELETE",
    "/_matrix/client/v3/profile/{user_id}/{key_name}",
    auth=Auth.USER,
    limit="account",
    guest=True,
)
async def delete_profile_field(req: UserRequest, profiles: Profiles) -> Json:
    """CS deleteProfileField. Errors: M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN."""
    await profiles.delete_field(req.user_id, _changed_field(req))
    return {}


@endpoint(
    "PATCH",
    "/_matrix/client/v3/profile/{user_id}",
    auth=Auth.USER,
    limit="account",
    max_body=_BODY_BYTES_MAX,
)
async def merge_profile(req: UserRequest, profiles: Profiles) -> Json:
    """Set some fields at once, as bridges do (com.beeper.arbitrary_profile_meta).

    Errors: M_FORBIDDEN, M_BAD_JSON, M_INVALID_PARAM, M_KEY_TOO_LARGE,
    M_PROFILE_TOO_LARGE.
    """
    req.check_own()
    await profiles.merge(req.user_id, req.json_object())
    return {}


@endpoint(
    "PUT",
    "/_matrix/client/v3/profile/{user_id}",
    auth=Auth.USER,
    limit="account",
    max_body=_BODY_BYTES_MAX,
)
@endpoint(
    "PUT",
    "/_matrix/client/unstable/com.beeper.msc4437/profile/{user_id}",
    auth=Auth.USER,
    limit="account",
    max_body=_BODY_BYTES_MAX,
)
async def replace_profile(req: UserRequest, profiles: Profiles) -> Json:
    """Replace the whole profile (MSC4437). Errors: as `merge_profile`."""
    req.check_own()
    await profiles.replace(req.user_id, req.json_object())
    return {}


def _changed_field(req: UserRequest) -> str:
    req.check_own()
    name = req.path["key_name"]
    if req.is_guest and name != DISPLAYNAME:
        raise GuestAccessForbidden("guests may change their displayname only")
    return name
