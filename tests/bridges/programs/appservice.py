"""An appservice of `mautrix`, from its registration file."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mautrix.appservice import AppService, ASStateStore
from mautrix.client.state_store.memory import MemoryStateStore
from mautrix.types import EventType, Membership, StateEvent

SERVER_NAME = "test"

# Whatever a handler of mautrix is given, and contents: its types are many.
Event = Any
Content = Any


class _StateStore(ASStateStore, MemoryStateStore):
    def __init__(self) -> None:
        ASStateStore.__init__(self)
        MemoryStateStore.__init__(self)


def build(homeserver: str, registration: str) -> AppService:
    """Make one; its bot is not the registration's sender, as with mautrix's bridges."""
    told = read(registration)
    appservice = AppService(
        server=homeserver,
        domain=SERVER_NAME,
        as_token=told["as_token"],
        hs_token=told["hs_token"],
        bot_localpart=f"{told['id']}bot",
        id=told["id"],
        bridge_name=told["id"],
        state_store=_StateStore(),
        ephemeral_events=True,
        encryption_events=True,
    )
    appservice.matrix_event_handler(_accept_invites(appservice))
    return appservice


async def start(appservice: AppService, port: str) -> None:
    """Listen, and begin as mautrix's bridges do."""
    await appservice.start("127.0.0.1", int(port))
    await appservice.intent.ensure_registered()
    await appservice.intent.versions()
    await appservice.intent.whoami()
    await appservice.ping_self("hello")


def _accept_invites(
    appservice: AppService,
) -> Callable[[Event], Awaitable[None]]:
    async def accept(event: Event) -> None:
        if (
            isinstance(event, StateEvent)
            and event.type == EventType.ROOM_MEMBER
            and event.content.membership == Membership.INVITE
            and event.state_key == appservice.bot_mxid
        ):
            await appservice.intent.join_room(event.room_id)

    return accept


def read(registration: str) -> dict[str, Any]:
    """What the homeserver was told of an appservice."""
    told: dict[str, Any] = json.loads(Path(registration).read_bytes())
    return told
