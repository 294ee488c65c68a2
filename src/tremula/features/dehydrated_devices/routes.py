"""Dehydrated devices at the HTTP edge (MSC3814)."""

from typing import Any, Final

import msgspec
import orjson

from tremula.features.dehydrated_devices.service import DehydratedDevices, NewDevice
from tremula.features.devices.service import parse_display_name
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import DeviceId, parse_device_id

_BODY_BYTES_MAX: Final = 512 * 1024

_PATH: Final = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
_EVENTS: Final = _PATH + "/{device_id}/events"


class PutDehydratedDeviceBody(msgspec.Struct):
    """Body of ``PUT dehydrated_device``."""

    device_id: str
    device_data: dict[str, Any]
    device_keys: dict[str, Any]
    one_time_keys: dict[str, Any] = {}
    fallback_keys: dict[str, Any] = {}
    initial_device_display_name: str | None = None


class EventsBody(msgspec.Struct):
    """Body of ``POST dehydrated_device/{device_id}/events``."""

    next_batch: str | None = None


@endpoint("PUT", _PATH, auth=Auth.USER, limit="account", max_body=_BODY_BYTES_MAX)
async def put_dehydrated_device(req: UserRequest, devices: DehydratedDevices) -> Json:
    """Upload one with its keys.

    Errors: M_BAD_JSON, M_INVALID_PARAM, M_MISSING_PARAM, M_INVALID_SIGNATURE,
    M_TOO_LARGE, M_FORBIDDEN if another one is uploaded at once.
    """
    body = req.body(PutDehydratedDeviceBody)
    name = body.initial_device_display_name
    new = NewDevice(
        device_id=parse_device_id(body.device_id),
        display_name=None if name is None else parse_display_name(name),
        device_data=body.device_data,
        device_keys=body.device_keys,
        one_time_keys=orjson.dumps(body.one_time_keys),
        fallback_keys=orjson.dumps(body.fallback_keys),
    )
    await devices.put(req.user_id, new)
    return {"device_id": new.device_id}


@endpoint("GET", _PATH, auth=Auth.USER, limit="default")
async def get_dehydrated_device(req: UserRequest, devices: DehydratedDevices) -> Json:
    """The device, to be rehydrated. Errors: M_NOT_FOUND."""
    device = await devices.get(req.user_id)
    device_data = msgspec.Raw(device.device_data)
    return msgspec.json.encode(
        {"device_id": device.device_id, "device_data": device_data}
    )


@endpoint("DELETE", _PATH, auth=Auth.USER, limit="account")
async def delete_dehydrated_device(
    req: UserRequest, devices: DehydratedDevices
) -> Json:
    """Remove it. Errors: M_NOT_FOUND."""
    return {"device_id": await devices.delete(req.user_id)}


@endpoint("POST", _EVENTS, auth=Auth.USER, limit="default")
async def post_dehydrated_device_events(
    req: UserRequest, devices: DehydratedDevices
) -> Json:
    """A part of what was sent to it. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    found = await devices.events(
        req.user_id, DeviceId(req.path["device_id"]), req.body(EventsBody).next_batch
    )
    return b'{"events":[%b],"next_batch":"%b"}' % (
        ",".join(found.events).encode(),
        found.next_batch.encode(),
    )
