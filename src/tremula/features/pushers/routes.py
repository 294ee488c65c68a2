"""Pushers at the HTTP edge (CS "Push Notifications", MSC3881)."""

from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from tremula.features.pushers.pusher import (
    EMAIL_APP_ID,
    Kind,
    Pusher,
    PusherKey,
    StoredPusher,
    parse_key,
)
from tremula.features.pushers.service import PusherChange, Pushers
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.email_addresses import parse_email_address
from tremula.protocol.errors import InvalidParam, MissingParam

_ENABLED: Final = "org.matrix.msc3881.enabled"
_DEVICE_ID: Final = "org.matrix.msc3881.device_id"

T = TypeVar("T")


class SetPusherBody(msgspec.Struct):
    """Body of CS ``postPusher``; what is unset is required unless ``kind`` is null."""

    pushkey: str
    kind: str | None
    app_id: str
    app_display_name: str | UnsetType = UNSET
    device_display_name: str | UnsetType = UNSET
    profile_tag: str | None = None
    lang: str | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET
    append: bool = False
    enabled: bool | UnsetType = msgspec.field(name=_ENABLED, default=UNSET)


@endpoint("GET", "/_matrix/client/v3/pushers", auth=Auth.USER)
async def get_pushers(req: UserRequest, pushers: Pushers) -> Json:
    """CS getPushers."""
    return {"pushers": [_shown(each) for each in await pushers.all_of(req.user_id)]}


@endpoint("POST", "/_matrix/client/v3/pushers/set", auth=Auth.USER, limit="account")
async def post_pusher(req: UserRequest, pushers: Pushers) -> Json:
    """CS postPusher. Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_THREEPID_NOT_FOUND."""
    body = req.body(SetPusherBody)
    key = _parse_key(body)
    if body.kind is None:
        await pushers.delete(req.user_id, key)
        return {}
    change = PusherChange(
        _parse_pusher(body, key),
        req.device_id,
        is_shared=body.append,
        is_toggle=body.enabled is not UNSET,
    )
    await pushers.set(req.user_id, change)
    return {}


def _parse_key(body: SetPusherBody) -> PusherKey:
    if body.app_id == EMAIL_APP_ID:
        return parse_key(body.app_id, parse_email_address(body.pushkey))
    return parse_key(body.app_id, body.pushkey)


def _parse_pusher(body: SetPusherBody, key: PusherKey) -> Pusher:
    try:
        kind = Kind(str(body.kind))
    except ValueError:
        raise InvalidParam("there are pushers by http and email only") from None
    return Pusher(
        key=key,
        kind=kind,
        is_enabled=body.enabled is not False,
        app_display_name=_required(body.app_display_name, "app_display_name"),
        device_display_name=_required(body.device_display_name, "device_display_name"),
        profile_tag=body.profile_tag,
        lang=_required(body.lang, "lang"),
        data=_required(body.data, "data"),
    )


def _required(value: T | UnsetType, name: str) -> T:
    """CS postPusher: "Required if `kind` is not `null`"."""
    if isinstance(value, UnsetType):
        raise MissingParam(f"missing key '{name}'")
    return value


def _shown(stored: StoredPusher) -> dict[str, Any]:
    pusher = stored.pusher
    shown: dict[str, Any] = {
        "pushkey": pusher.key.pushkey,
        "kind": pusher.kind,
        "app_id": pusher.key.app_id,
        "app_display_name": pusher.app_display_name,
        "device_display_name": pusher.device_display_name,
        "lang": pusher.lang,
        "data": pusher.data,
        _ENABLED: pusher.is_enabled,
    }
    if pusher.profile_tag is not None:
        shown["profile_tag"] = pusher.profile_tag
    if stored.device_id is not None:
        shown[_DEVICE_ID] = stored.device_id
    return shown
