"""What `/sync` shows of receipts."""

from tests.features.user_data import UserDataServer
from tremula.protocol.identifiers import RoomId, UserId


async def shown(
    server: UserDataServer, user_id: UserId, room_id: RoomId, since: int = 0
) -> list[dict[str, object]]:
    """The contents of the receipt events that a sync of *user_id* has."""
    ctx = await server.context(user_id)
    events = await server.room_events("receipts", ctx, since)
    return [event["content"] for event in events.get(room_id, [])]
