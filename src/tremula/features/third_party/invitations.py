"""Invitations of e-mail addresses (CS "Third-party invites"), without identity servers.

The room gets an ``m.room.third_party_invite`` whose key is this server's own. When the
address is proved to be a user's, this server signs that it is, and the room's rules let
the invitation become that of the user.
"""

import asyncio
import secrets
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.features.third_party import storage
from tremula.features.third_party.letters import Invitation, Letters
from tremula.features.third_party.service import ThirdPartyIds
from tremula.features.third_party.storage import PendingInvite
from tremula.features.third_party.validations import Validations
from tremula.infra.bus import BusUnavailable
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.slots import Slots
from tremula.protocol.base64 import encode_base64
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.signing import sign_json
from tremula.rooms.events import Draft
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import OwnServer
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER

THIRD_PARTY_INVITE: Final = "m.room.third_party_invite"

_TOKEN_BYTES: Final = 24
_DELIVERED_MAX: Final = 100
_MISSED_MAX: Final = 500
_LOOK_EVERY_S: Final = 600

log = structlog.get_logger(__name__)


class EmailInvitations(Struct, frozen=True):
    """Invites addresses, and makes users of them once they are known."""

    ids: ThirdPartyIds
    letters: Letters
    rooms: Rooms
    reader: RoomReader
    own: OwnServer
    validations: Validations
    slots: Slots

    def check_possible(self) -> None:
        """Refuse addresses where there is no mail.

        Raises:
            ThreepidMediumNotSupported: there is none.
        """
        self.letters.check_possible()

    async def invite(
        self, sender: UserId, room_id: RoomId, address: EmailAddress
    ) -> None:
        """Invite whoever has *address*, and tell them by mail: who has it already takes
        the invitation there, so that nobody is told whose it is.

        Raises:
            ThreepidMediumNotSupported: there is no mail here.
            Forbidden: *sender* may not invite here.
            LimitExceeded: too many mails of this user, or to this address.
            Unknown: (502) the mail can't be sent.
        """
        self.letters.check_possible()
        self.letters.limiter.check("mail", f"from {sender}")
        view = await self.reader.get_joined(room_id, sender)
        was_nobodys = await self.ids.owner_of(address) is None
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        draft = Draft(
            type=THIRD_PARTY_INVITE,
            sender=sender,
            content=self._pending_content(address),
            state_key=token,
        )
        await self.rooms.append(room_id, [draft])
        clock, journal = self.ids.clock, self.ids.journal
        invite = PendingInvite(token, address, room_id, sender, clock.now_ms())
        unit = journal.unit()
        storage.insert_invite(unit, invite)
        await journal.commit(unit)
        if was_nobodys and (owner := await self.ids.owner_of(address)) is not None:
            # Who has proved it in between has looked for invitations too early.
            await self.deliver(owner, address)
        name = (view.content_of("m.room.name") or {}).get("name")
        invitation = Invitation(sender, name if isinstance(name, str) else None)
        if was_nobodys:
            await self.letters.send_invitation(address, invitation)
        else:
            await self.validations.offer(address, invitation)

    async def run(self) -> None:
        """Deliver what was missed, every ten minutes, for the supervisor."""
        while True:
            await self.deliver_missed()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def deliver_missed(self) -> None:
        """Deliver what could not be when the address was proved. Whose slot is held
        here is taken care of here.
        """
        for user_id, address in await storage.missed_deliveries(
            self.ids.db, limit=_MISSED_MAX
        ):
            if self.slots.holds(user_id):
                await self.try_to_deliver(user_id, address)

    async def try_to_deliver(self, user_id: UserId, address: EmailAddress) -> None:
        """As `deliver`, now or later: what has come before it is done, whatever becomes
        of the invitations.
        """
        try:
            await self.deliver(user_id, address)
        except (BusUnavailable, DatabaseUnavailable, TimeoutError) as outage:
            log.warning("invitations_put_off", user_id=user_id, reason=str(outage))

    async def deliver(self, user_id: UserId, address: EmailAddress) -> None:
        """Let *user_id*, who has proved to have *address*, have its invitations."""
        for invite in await storage.invites_for(
            self.ids.db, address, limit=_DELIVERED_MAX
        ):
            try:
                await self._exchange(invite, user_id)
            except MatrixError as error:
                # The room's rules forbid it, or it can't be done now. Who has proved an
                # address must not suffer from it.
                log.info("invitation_not_delivered", reason=error.message)
                if error.http_status >= 500:
                    continue
            unit = self.ids.journal.unit()
            storage.delete_invite(unit, invite.token)
            await self.ids.journal.commit(unit)

    def is_own_key(self, public_key: str) -> bool:
        """Whether it is the key that this server signs with, in either alphabet."""
        own = encode_base64(self.own.key.public_key)
        return public_key.rstrip("=").replace("-", "+").replace("_", "/") == own

    async def _exchange(self, invite: PendingInvite, user_id: UserId) -> None:
        view = await self.reader.get_room(invite.room_id)
        pending = view.state.get((THIRD_PARTY_INVITE, invite.token))
        # The rules would let in whom somebody invited who has been removed since.
        if pending is None or not view.is_joined(invite.sender):
            return
        if view.membership(user_id) in {"join", "ban"}:
            return
        signed = sign_json(
            {"mxid": user_id, "token": invite.token, "sender": invite.sender},
            self.own.name,
            self.own.key,
        )
        content: dict[str, Any] = {
            "membership": "invite",
            "third_party_invite": {
                "display_name": str(pending.content.get("display_name", "")),
                "signed": signed,
            },
        }
        draft = Draft(
            type=MEMBER, sender=invite.sender, content=content, state_key=user_id
        )
        await self.rooms.append(invite.room_id, [draft])

    def _pending_content(self, address: EmailAddress) -> dict[str, Any]:
        key = encode_base64(self.own.key.public_key)
        url = self.letters.base_url.rstrip("/") + "/_matrix/identity/v2/pubkey/isvalid"
        return {
            "display_name": redacted(address),
            "key_validity_url": url,
            "public_key": key,
            "public_keys": [{"public_key": key, "key_validity_url": url}],
        }


def redacted(address: EmailAddress) -> str:
    """What others in the room may know of an address: ``a...@e...``."""
    local, _, domain = address.rpartition("@")
    return f"{local[0]}...@{domain[0]}..."
