"""The list of notifications at the HTTP edge (CS "Listing Notifications")."""

import re
from typing import Any, Final

from tremula.features.notifications.service import Notifications, Wish
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam

_LIMIT_DEFAULT: Final = 20
_LIMIT_MAX: Final = 100
_HIGHLIGHT: Final = "highlight"
_NEWEST: Final = 2**62
_TOKEN: Final = re.compile(r"n([0-9]{1,18})")


@endpoint("GET", "/_matrix/client/v3/notifications", auth=Auth.USER)
async def get_notifications(req: UserRequest, notifications: Notifications) -> Json:
    """CS getNotifications. Errors: M_INVALID_PARAM."""
    query = req.query
    wish = Wish(
        before_pos=_parse_token(query.get("from")),
        limit=query.int("limit", default=_LIMIT_DEFAULT, min=1, max=_LIMIT_MAX),
        only_highlights=query.get("only") == _HIGHLIGHT,
    )
    found = await notifications.newest(req.user_id, req.device_id, wish)
    answer: dict[str, Any] = {"notifications": found.notifications}
    if found.rest_pos is not None:
        answer["next_token"] = f"n{found.rest_pos}"
    return answer


def _parse_token(raw: str | None) -> int:
    if not raw:
        return _NEWEST
    match = _TOKEN.fullmatch(raw)
    if match is None:
        raise InvalidParam("from is no token of this list")
    return int(match[1])
