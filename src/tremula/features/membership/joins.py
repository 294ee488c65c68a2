"""Who vouches for a join. Pure."""

from collections.abc import Mapping
from typing import Any

from tremula.protocol.errors import Forbidden, UnableToAuthoriseJoin
from tremula.protocol.identifiers import ServerName, UserId, server_of
from tremula.rooms.events import Draft
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView


def authorising_user(view: RoomView, server_name: ServerName) -> UserId:
    """A joined user of *server_name* who may invite (CS "Restricted rooms").

    The most powerful one, so that the same user serves as long as possible.

    Raises:
        UnableToAuthoriseJoin: there is none.
    """
    levels = view.power_levels
    by_power = sorted(levels.users, key=levels.user, reverse=True)
    everyone = view.joined_members() if levels.users_default >= levels.invite else ()
    for candidate in (*by_power, *everyone):
        user_id = UserId(candidate)
        if (
            server_of(user_id) == server_name
            and view.is_joined(user_id)
            and levels.can_invite(user_id)
        ):
            return user_id
    raise UnableToAuthoriseJoin("No user of this server may invite you to this room")


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
    if _needs_key_check(pending.content):
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


def _needs_key_check(content: Mapping[str, Any]) -> bool:
    keys = content.get("public_keys")
    entries = [content, *(keys if isinstance(keys, list) else [])]
    return any(isinstance(e, dict) and "key_validity_url" in e for e in entries)
