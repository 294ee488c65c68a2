"""Sending events: what auth rules leave to the sending server is decided here."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tremula.features.directory.service import CANONICAL_ALIAS, Directory
from tremula.features.hungry_rooms.service import Authority
from tremula.features.membership.service import MemberChange, Membership
from tremula.features.messages.canonical_alias import new_aliases
from tremula.features.messages.later import DelayedDraft, Delays
from tremula.features.messages.send_status import SEND_STATUS, SendStatuses
from tremula.infra.http import Requester
from tremula.protocol.errors import (
    BadAlias,
    BadJson,
    Forbidden,
    InvalidParam,
    NotFound,
    Unknown,
    UserSuspended,
)
from tremula.protocol.identifiers import (
    EventId,
    RoomAlias,
    RoomId,
    UserId,
    server_of,
)
from tremula.protocol.relations import relation_of
from tremula.protocol.room_state import member_key
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import NOTHING_CHOSEN, Chosen, Draft, StoredEvent, TxnKey
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import REDACTION
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER
from tremula.rooms.threads import thread_root
from tremula.rooms.txns import find_sent
from tremula.rooms.view import RoomView

__all__ = ["DelayedDraft", "Delays", "Messages", "redaction_draft"]


class Messages(Struct, frozen=True):
    """Sends messages, state and redactions for our own users."""

    rooms: Rooms
    reader: RoomReader
    events: EventStore
    membership: Membership
    directory: Directory
    authority: Authority
    statuses: SendStatuses

    async def send(
        self,
        requester: Requester,
        room_id: RoomId,
        *,
        event_type: str,
        content: dict[str, Any],
        txn: TxnKey,
        chosen: Chosen = NOTHING_CHOSEN,
    ) -> EventId:
        """Send a message event, once for *txn*, and once for a *chosen* ID.

        Raises:
            NotFound: this server knows no such room, or no event to redact.
            Forbidden: the requester may not send it.
            UserSuspended: the requester may send nothing but redactions.
            BadJson: a redaction that names no event.
            Unknown: (400) it would begin a thread where none can be.
        """
        if requester.is_suspended and event_type != REDACTION:
            raise _suspended()
        if event_type == REDACTION:
            redacts = content.get("redacts")
            if not isinstance(redacts, str):
                raise BadJson("content.redacts must be an event ID")
            return await self.redact(
                requester,
                room_id,
                EventId(redacts),
                content=content,
                txn=txn,
                chosen=chosen,
            )
        await self._check_thread(requester.user_id, room_id, content)
        draft = Draft(
            type=event_type, sender=requester.user_id, content=content, txn=txn
        )
        [event_id] = await self.rooms.append(room_id, [chosen.of(draft)])
        if event_type == SEND_STATUS:
            await self.statuses.follow(requester, room_id, content)
        return event_id

    async def redact(
        self,
        requester: Requester,
        room_id: RoomId,
        event_id: EventId,
        *,
        content: dict[str, Any],
        txn: TxnKey,
        chosen: Chosen = NOTHING_CHOSEN,
    ) -> EventId:
        """Redact the event *event_id*, once for *txn*.

        Raises:
            NotFound: this server knows no such room, or no such event in it.
            Forbidden: it is another's event, and the requester lacks the power.
            UserSuspended: it is another's event, and the requester is suspended.
        """
        view = await self.reader.get_room(room_id)
        target = await self.events.get(view.nid, event_id)
        draft = redaction_draft(
            view.version,
            Draft(REDACTION, requester.user_id, content, txn=txn),
            event_id,
        )
        try:
            self._check_redaction(requester, view, target)
        except (Forbidden, UserSuspended):
            # Who has lost the power since is still told what they have done.
            sent = await find_sent(self.events.db, view.nid, draft)
            if sent is None:
                raise
            return sent
        return (await self.rooms.append(room_id, [chosen.of(draft)]))[0]

    async def _check_thread(
        self, user_id: UserId, room_id: RoomId, content: dict[str, Any]
    ) -> None:
        """Refuse to begin a thread off an event that relates to another itself."""
        root_id = thread_root(content)
        view = await self.reader.find_room(room_id) if root_id else None
        if root_id is None or view is None or not view.is_joined(user_id):
            # What is not to be sent at all is refused as such.
            return
        root = await self.events.find(view.nid, root_id)
        if root is not None and relation_of(root.content) is not None:
            raise Unknown("A thread can't begin in another relation", status=400)

    def _check_redaction(
        self, requester: Requester, view: RoomView, target: StoredEvent
    ) -> None:
        # Servers accept any redaction from the server that sent the event, so that
        # whether one user of ours may redact another's is for us to decide.
        user_id = requester.user_id
        is_ours = server_of(target.sender) == self.directory.server_name
        if requester.is_suspended and target.sender != user_id:
            raise _suspended()
        if target.type == "m.room.create":
            raise Forbidden("The create event of a room cannot be redacted")
        if not (
            target.sender == user_id
            or view.power_levels.can_redact(user_id)
            or (requester.is_admin and is_ours)
        ):
            raise Forbidden("You may not redact the events of others in this room")

    async def send_state(
        self,
        requester: Requester,
        room_id: RoomId,
        *,
        key: tuple[str, str],
        content: dict[str, Any],
        txn: TxnKey | None = None,
        chosen: Chosen = NOTHING_CHOSEN,
    ) -> EventId:
        """Set the state at *key*, ``(type, state_key)``, once for *txn* if there is one
        and it is no membership.

        In its own rooms an application service changes the memberships of its users
        whatever the rules are.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the requester may not set it.
            UserSuspended: the requester may do nothing but leave.
            BadAlias, InvalidParam: an alias that a canonical alias event adds.
            InvalidParam: a redaction, which is no state.
        """
        event_type, state_key = key
        user_id = requester.user_id
        is_own_leave = (
            key == member_key(user_id) and content.get("membership") == "leave"
        )
        if requester.is_suspended and not is_own_leave:
            raise _suspended()
        if event_type == REDACTION:
            # Servers redact by it as by any, and `_check_redaction` was not asked.
            raise InvalidParam("a redaction is no state event")
        if event_type == MEMBER:
            change = MemberChange(
                sender=user_id,
                state_key=state_key,
                content=content,
                is_guest=requester.is_guest,
                is_forced=await self._is_forced(requester, room_id, key, content),
                chosen=chosen,
            )
            return await self.membership.set_member(room_id, change)
        draft = Draft(
            type=event_type,
            sender=user_id,
            content=content,
            state_key=state_key,
            txn=txn,
        )
        draft = chosen.of(draft)
        if key == (CANONICAL_ALIAS, ""):
            return await self._send_canonical_alias(room_id, draft)
        return (await self.rooms.append(room_id, [draft]))[0]

    async def _is_forced(
        self,
        requester: Requester,
        room_id: RoomId,
        key: tuple[str, str],
        content: dict[str, Any],
    ) -> bool:
        # Who is in the room already is not to be invited: that is the rules' to say.
        if content.get("membership") == "invite" or requester.appservice_id is None:
            return False
        return await self.authority.may_force(requester, room_id, UserId(key[1]))

    async def _send_canonical_alias(self, room_id: RoomId, draft: Draft) -> EventId:
        added: list[RoomAlias] = []

        async def decide(view: RoomView) -> Draft:
            before = view.content_of(CANONICAL_ALIAS) or {}
            added[:] = new_aliases(before, draft.content)
            await self._check_aliases(room_id, added)
            return draft

        event_id = await self.directory.canonical.change(room_id, decide)
        await self.directory.leave_out_removed(room_id, added, user_id=draft.sender)
        assert event_id is not None, "there is a draft always"
        return event_id

    async def _check_aliases(
        self, room_id: RoomId, aliases: Sequence[RoomAlias]
    ) -> None:
        for alias in aliases:
            try:
                target = await self.directory.resolve(alias)
            except (Forbidden, NotFound, Unknown) as error:
                raise BadAlias(f"Room alias {alias} cannot be found") from error
            if target.room_id != room_id:
                raise BadAlias(f"Room alias {alias} does not point to this room")


def _suspended() -> UserSuspended:
    return UserSuspended("suspended accounts may not do this")


def redaction_draft(version: RoomVersion, draft: Draft, redacts: EventId) -> Draft:
    """*draft* with the event that it redacts where the room version wants it.

    CS sendMessage: "In rooms with a version older than 11 they MUST move the
    `redacts` property inside the `content` to the top level of the event."
    """
    content = {key: draft.content[key] for key in draft.content if key != "redacts"}
    in_content = version.redacts_in_content
    if in_content:
        content["redacts"] = redacts
    return Draft(
        type=draft.type,
        sender=draft.sender,
        content=content,
        redacts=None if in_content else redacts,
        txn=draft.txn,
    )
