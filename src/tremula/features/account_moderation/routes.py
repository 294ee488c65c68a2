"""Moderating accounts at the HTTP edge (CS "Server Administration")."""

import msgspec

from tremula.features.account_moderation.service import AccountModeration
from tremula.features.devices.service import DeviceUse
from tremula.infra.http import Auth, Json, UserRequest, endpoint

_LOCK = "/_matrix/client/v1/admin/lock/{user_id}"
_SUSPEND = "/_matrix/client/v1/admin/suspend/{user_id}"


class LockBody(msgspec.Struct):
    """Body of CS ``setAdminLockUser``."""

    locked: bool


class SuspendBody(msgspec.Struct):
    """Body of CS ``setAdminSuspendUser``."""

    suspended: bool


@endpoint("GET", _LOCK, auth=Auth.USER)
async def get_admin_lock_user(req: UserRequest, moderation: AccountModeration) -> Json:
    """CS getAdminLockUser. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_NOT_FOUND."""
    user = await moderation.account(req.requester, req.path["user_id"])
    return {"locked": user.is_locked}


@endpoint("PUT", _LOCK, auth=Auth.USER)
async def set_admin_lock_user(req: UserRequest, moderation: AccountModeration) -> Json:
    """CS setAdminLockUser. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_NOT_FOUND."""
    user = await moderation.account_of_other(req.requester, req.path["user_id"])
    locked = req.body(LockBody).locked
    await moderation.set_locked(user.user_id, is_locked=locked)
    return {"locked": locked}


@endpoint("GET", _SUSPEND, auth=Auth.USER)
async def get_admin_suspend_user(
    req: UserRequest, moderation: AccountModeration
) -> Json:
    """CS getAdminSuspendUser. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_NOT_FOUND."""
    user = await moderation.account(req.requester, req.path["user_id"])
    return {"suspended": user.is_suspended}


@endpoint("PUT", _SUSPEND, auth=Auth.USER)
async def set_admin_suspend_user(
    req: UserRequest, moderation: AccountModeration
) -> Json:
    """CS setAdminSuspendUser. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_NOT_FOUND."""
    user = await moderation.account_of_other(req.requester, req.path["user_id"])
    suspended = req.body(SuspendBody).suspended
    await moderation.set_suspended(user.user_id, is_suspended=suspended)
    return {"suspended": suspended}


@endpoint("GET", "/_matrix/client/v3/admin/whois/{user_id}", auth=Auth.USER)
async def get_who_is(req: UserRequest, moderation: AccountModeration) -> Json:
    """CS getWhoIs. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    uses = await moderation.whereabouts(req.requester, req.path["user_id"])
    return {
        "user_id": req.path["user_id"],
        "devices": {use.device_id: {"sessions": [_session(use)]} for use in uses},
    }


def _session(use: DeviceUse) -> dict[str, object]:
    connection = {
        "ip": use.ip,
        "last_seen": use.last_seen_ts_ms,
        "user_agent": use.user_agent,
    }
    known = {key: value for key, value in connection.items() if value is not None}
    return {"connections": [known] if known else []}
