"""Somebody on Matrix whose client encrypts, with `mautrix`.

Started with HOMESERVER USER_ID TOKEN DEVICE_ID. A command names a method of the client:
`{"do": "create_room", "with": {keyword: argument}}`. Invites are accepted.
"""

import asyncio
import sys

from mautrix.client import Client
from mautrix.client.state_store.memory import MemoryStateStore
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.types import (
    CrossSigningUsage,
    EventType,
    Membership,
    SigningKey,
    TOFUSigningKey,
    UserID,
)

from tests.bridges.programs.appservice import Event
from tests.bridges.programs.lines import commands, say
from tests.bridges.programs.secrecy import CryptoStateStore


class CryptoStore(MemoryCryptoStore):
    """One that can be told again of a user's cross-signing keys."""

    async def put_cross_signing_key(
        self, user_id: UserID, usage: CrossSigningUsage, key: SigningKey
    ) -> None:
        # mautrix's own would change a tuple.
        known = self._cross_signing_keys.setdefault(user_id, {})
        first = known[usage].first if usage in known else key
        known[usage] = TOFUSigningKey(key=key, first=first)


async def main(homeserver: str, user_id: str, token: str, device_id: str) -> None:
    store = CryptoStore(user_id, "pickle")
    client = Client(
        base_url=homeserver,
        mxid=user_id,
        token=token,
        device_id=device_id,
        sync_store=store,
        state_store=MemoryStateStore(),
    )
    client.crypto = OlmMachine(client, store, CryptoStateStore(client.state_store))
    await client.crypto.load()
    await client.crypto.share_keys()

    async def accept(event: Event) -> None:
        invited = event.content.membership == Membership.INVITE
        if invited and event.state_key == user_id:
            await client.join_room_by_id(event.room_id)
        say(
            seen=event.content.membership.value,
            room_id=event.room_id,
            who=event.state_key,
        )

    async def hear(event: Event) -> None:
        decrypted = event.get("mautrix", {})
        say(
            seen="message",
            room_id=event.room_id,
            sender=event.sender,
            event_id=event.event_id,
            body=event.content.body,
            was_encrypted=decrypted.get("was_encrypted", False),
        )

    client.add_event_handler(EventType.ROOM_MEMBER, accept)
    client.add_event_handler(EventType.ROOM_MESSAGE, hear)
    syncing = client.start(None)
    say(seen="ready")
    async for command in commands():
        answer = await getattr(client, command["do"])(**command["with"])
        say(seen="answer", answer=str(answer))
    client.stop()
    await syncing


asyncio.run(main(*sys.argv[1:]))
