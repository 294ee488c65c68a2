"""Joins by a pending third-party invitation. Pure."""

from collections.abc import Mapping
from typing import Any

from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import UserId
from tremula.protocol.pending_invites import needs_key_check
from tremula.rooms.events import Draft
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView


def third_party_invite(
    view: RoomView, user_id: UserId, signed: Mapping[str, Any]
) -> Draft:
    """The invitation that ``third_party_signed`` of CS joinRoom stands for.

    The authorisation rules check its signatures against the keys of the pending
    ``m.room.third_party_invite``.

    Raises:
        Forbidden: it is another user's, or there is no such pending invitation, or
            its keys can only be checked by asking an identity server.
    """
    if signed.get("mxid") != user_id:
        raise Forbidden("third_party_signed is for another user")
    token = signed.get("token")
    pending = view.state.get(("m.room.third_party_invite", str(token)))
    if pending is None or pending.sender != signed.get("sender"):
        raise Forbidden("there is no such pending third-party invitation")
    if needs_key_check(pending.content):
        raise Forbidden(
            "this server can't check the validity of the invitation's keys yet"
        )
    return Draft(
        type=MEMBER,
        sender=UserId(pending.sender),
        content={
            "membership": "invite",
            "third_party_invite": {
                "display_name": str(pending.content.get("display_name", "")),
                "signed": dict(signed),
            },
        },
        state_key=user_id,
    )
