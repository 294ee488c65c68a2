"""Sends what was delayed, as its user would now."""

from msgspec import Struct

from tremula.features.delayed_events.delayed_event import DelayedEvent
from tremula.features.messages.service import Messages
from tremula.features.users.service import Users
from tremula.infra.db import Reader
from tremula.infra.http import Requester
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.errors import UserDeactivated, UserLocked
from tremula.protocol.identifiers import EventId
from tremula.protocol.json import loads_exact
from tremula.rooms.events import DELAYING_DEVICE, Draft, TxnKey
from tremula.rooms.reader import RoomReader
from tremula.rooms.txns import find_sent

# No access token has it.
_NO_TOKEN = 0


class DelayedSending(Struct, frozen=True):
    """Implements `Sending`."""

    db: Reader
    messages: Messages
    users: Users
    reader: RoomReader
    limiter: RateLimiter

    async def send(self, event: DelayedEvent) -> EventId:
        """Send *event*: "power levels are evaluated at the point of sending".

        Raises:
            UserDeactivated, UserLocked, UserSuspended: see the name.
            LimitExceeded: the user has too much sent at one time.
            MatrixError: as if it were sent without a delay.
        """
        txn = TxnKey(DELAYING_DEVICE, event.delay_id)
        content = loads_exact(event.content.encode())
        draft = Draft(event.type, event.user_id, content, event.state_key, txn=txn)
        if event.is_begun:
            # What forbids it now does not undo it.
            view = await self.reader.get_room(event.room_id)
            sent = await find_sent(self.db, view.nid, draft)
            if sent is not None:
                return sent
        requester = await self._requester(event)
        self.limiter.check("message", event.user_id)
        if event.state_key is None:
            return await self.messages.send(
                requester,
                event.room_id,
                event_type=event.type,
                content=content,
                txn=txn,
            )
        return await self.messages.send_state(
            requester,
            event.room_id,
            key=(event.type, event.state_key),
            content=content,
            txn=txn,
        )

    async def is_replaced(self, event: DelayedEvent) -> bool:
        """Whether the state is somebody else's since *event* was scheduled."""
        if event.state_key is None:
            return False
        view = await self.reader.find_room(event.room_id)
        current = view.state.get((event.type, event.state_key)) if view else None
        return (
            current is not None
            and current.sender != event.user_id
            and current.event_nid > event.scheduled_pos
        )

    async def _requester(self, event: DelayedEvent) -> Requester:
        user = await self.users.find(event.user_id)
        if user is None or user.is_deactivated:
            raise UserDeactivated("The account has been deactivated.")
        if user.is_locked:
            raise UserLocked("The account has been locked.")
        return Requester(
            user_id=event.user_id,
            device_id=event.device_id,
            is_guest=user.is_guest,
            token_id=_NO_TOKEN,
            is_admin=user.is_admin,
            is_suspended=user.is_suspended,
        )
