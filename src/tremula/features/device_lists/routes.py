"""Device lists at the HTTP edge (CS module "End-to-End Encryption")."""

from tremula.features.device_lists.sync import DeviceListsPart
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.infra.tokens import StreamToken


@endpoint("GET", "/_matrix/client/v3/keys/changes", auth=Auth.USER)
async def get_keys_changes(req: UserRequest, device_lists: DeviceListsPart) -> Json:
    """CS getKeysChanges. Errors: M_MISSING_PARAM, M_INVALID_PARAM."""
    since = StreamToken.parse(req.query.require("from"))
    # "May be used by the server as a hint": what is known now is told.
    StreamToken.parse(req.query.require("to"))
    news = await device_lists.changes(req.user_id, since.pos)
    return {"changed": news.changed, "left": news.left}
