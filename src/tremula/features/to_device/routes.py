"""Messages to devices at the HTTP edge (CS module "Send-to-Device messaging")."""

from typing import Any, Final

import msgspec

from tremula.features.to_device.service import ToDevice, Txn
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import DeviceId, parse_txn_id
from tremula.protocol.to_device import parse_event_type, parse_messages

_BODY_BYTES_MAX: Final = 8 * 1024 * 1024


class SendToDeviceBody(msgspec.Struct):
    """Body of CS ``sendToDevice``."""

    messages: dict[str, Any]


@endpoint(
    "PUT",
    "/_matrix/client/v3/sendToDevice/{event_type}/{txn_id}",
    auth=Auth.USER,
    guest=True,
    max_body=_BODY_BYTES_MAX,
)
async def send_to_device(req: UserRequest, to_device: ToDevice) -> Json:
    """CS sendToDevice. Errors: M_MISSING_PARAM, M_BAD_JSON, M_INVALID_PARAM."""
    messages = parse_messages(req.body(SendToDeviceBody).messages)
    user_id = req.user_id
    txn = Txn(
        user_id=user_id,
        # No device has an empty ID.
        device_id=req.device_id or DeviceId(""),
        event_type=parse_event_type(req.path["event_type"]),
        txn_id=parse_txn_id(req.path["txn_id"]),
    )
    await to_device.send(user_id, txn, messages)
    return {}
