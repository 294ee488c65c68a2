"""A bridge between two rooms that stand for two networks, for one user.

Others have a ghost on the other side; the user acts there as themself, by the
registration of a second appservice that may act for everybody.

Started with HOMESERVER REGISTRATION PORT PUPPETS OWNER; a command is
`{"link": [room of the network "left", room of "right"]}`.
"""

import asyncio
import sys
from dataclasses import dataclass, field

from mautrix.appservice import DOUBLE_PUPPET_SOURCE_KEY, AppService
from mautrix.appservice.api import IntentAPI
from mautrix.types import EventType, ReceiptType

from tests.bridges.programs import appservice
from tests.bridges.programs.appservice import Content, Event
from tests.bridges.programs.lines import commands, say
from tests.bridges.programs.secrecy import Secrecy


@dataclass
class Bridge:
    """What is said and read in one room is said and read in the other."""

    service: AppService
    secrecy: Secrecy
    puppets_token: str
    owner: str
    # Rooms, and events that stand for each other.
    others: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    counterparts: dict[str, str] = field(default_factory=dict)

    async def link(self, left: str, right: str) -> None:
        for room in (left, right):
            # It was not there when they were made: members, encryption.
            await self.service.intent.get_state(room)
        self.others |= {left: right, right: left}
        self.networks |= {left: "left", right: "right"}

    async def handle(self, event: Event) -> None:
        if getattr(event, "room_id", None) not in self.others:
            return
        if event.type == EventType.RECEIPT:
            await self._mirror_receipts(event)
        elif event.type in {EventType.ROOM_MESSAGE, EventType.ROOM_ENCRYPTED}:
            await self._carry(event)

    async def _carry(self, event: Event) -> None:
        if self._is_own(event.sender, event.content):
            say(seen="own message", sender=event.sender)
            return
        plain = await self.secrecy.decrypted(event)
        room = self.others[event.room_id]
        intent = self._intent(event.sender, event.room_id)
        sent = await self._send(intent, room, plain.content)
        self.counterparts |= {event.event_id: sent, sent: event.event_id}
        say(seen="carried", sender=event.sender, event_id=sent)

    async def _send(self, intent: IntentAPI, room: str, content: Content) -> str:
        await intent.ensure_joined(room)
        event_type, secret = await self.secrecy.encrypted(room, content)
        sent: str = await intent.send_message_event(room, event_type, secret)
        return sent

    async def _mirror_receipts(self, event: Event) -> None:
        for event_id, receipts in event.content.items():
            for user_id, receipt in receipts.get(ReceiptType.READ, {}).items():
                await self._mirror(event, event_id, user_id, receipt)

    async def _mirror(
        self, event: Event, event_id: str, user_id: str, receipt: Content
    ) -> None:
        if self._is_own(user_id, receipt):
            say(seen="own receipt", sender=user_id, event_id=event_id)
        elif event_id in self.counterparts:
            counterpart = self.counterparts[event_id]
            intent = self._intent(user_id, event.room_id)
            await intent.mark_read(self.others[event.room_id], counterpart)
            say(seen="mirrored", sender=user_id, event_id=counterpart)

    def _is_own(self, user_id: str, content: Content) -> bool:
        """Whether it was the bridge that did it."""
        ours = content.get(DOUBLE_PUPPET_SOURCE_KEY) == self.service.id
        return ours or user_id.startswith(("@left_", "@right_", self.service.bot_mxid))

    def _intent(self, user_id: str, room_id: str) -> IntentAPI:
        """Who on the other side stands for a user."""
        bot = self.service.intent
        if user_id == self.owner:
            return bot.user(user_id, self.puppets_token, as_token=True)
        localpart = user_id.removeprefix("@")
        return bot.user(f"@{self.networks[room_id]}_{localpart}")


async def main(*arguments: str) -> None:
    homeserver, registration, port, puppets, owner = arguments
    service = appservice.build(homeserver, registration)
    secrecy = Secrecy.of(service)
    puppets_token = appservice.read(puppets)["as_token"]
    bridge = Bridge(service, secrecy, puppets_token, owner)
    service.matrix_event_handler(bridge.handle)
    await appservice.start(service, port)
    await secrecy.start()
    say(seen="ready")
    async for command in commands():
        await bridge.link(*command["link"])
        say(seen="link")


asyncio.run(main(*sys.argv[1:]))
