"""What is to be sent later (MSC4140), and who sees to it."""

from typing import Any, Protocol

from msgspec import Struct

from tremula.infra.http import Requester
from tremula.protocol.identifiers import RoomId


class DelayedDraft(Struct, frozen=True, kw_only=True):
    """What a client wants to have sent, in which room and when."""

    room_id: RoomId
    type: str
    content: dict[str, Any]
    delay_ms: int
    state_key: str | None = None
    txn_id: str | None = None


class Delays(Protocol):
    """Sends events later; the delayed_events feature implements it."""

    async def schedule(self, requester: Requester, draft: DelayedDraft) -> str:
        """Have an event sent later, once for its transaction ID; its delay ID.

        Raises:
            MatrixError: it can't be scheduled.
        """
        ...
