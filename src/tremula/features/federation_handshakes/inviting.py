"""Inviting users of other servers (SS "Inviting to a room")."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.federation_handshakes.handshake import (
    Handshakes,
    federation_path,
)
from tremula.features.federation_handshakes.residents import relayed
from tremula.features.federation_handshakes.told_state import ToldState
from tremula.infra.federation.errors import (
    FederationDenied,
    PeerError,
    PeerUnreachable,
    RemoteError,
)
from tremula.protocol.errors import (
    Forbidden,
    InviteBlocked,
    MatrixError,
    UnsupportedRoomVersion,
)
from tremula.protocol.events import BuiltEvent, pdu_json
from tremula.protocol.identifiers import EventId, ServerName, server_of
from tremula.protocol.received_events import receive_pdu
from tremula.protocol.room_versions import EventIdFormat
from tremula.protocol.server_keys import KeyNeed
from tremula.protocol.signing import (
    POLICY_KEY_ID,
    BadSignature,
    is_key_id,
    verify_any,
)
from tremula.rooms.events import Draft
from tremula.rooms.graph import Standing
from tremula.rooms.rooms import Rooms
from tremula.rooms.unsent import UnsentEvents
from tremula.rooms.verification import VerifyKeySource
from tremula.rooms.view import RoomView

_TIMEOUT_S: Final = 30.0
_BYTES_MAX: Final = 1024 * 1024
_SIGNATURES_MAX: Final = 8


class OutgoingInvitations(Struct, frozen=True):
    """Has invitations signed by the server of the invited user, and sends them."""

    rooms: Rooms
    unsent: UnsentEvents
    handshakes: Handshakes
    keys: VerifyKeySource
    told_state: ToldState
    own: ServerName

    async def send(self, view: RoomView, draft: Draft) -> EventId:
        """Invite the user of another server whom *draft* names.

        Raises:
            Forbidden: the room's rules, or the other server, do not allow it.
            InviteBlocked: the user wants no invitations.
            UnsupportedRoomVersion: their server can't be in such a room.
            Unknown: (502) it does not answer, or not as it should.
            TooLarge, BadJson: the content cannot be an event's.
            MatrixError: the room's policy server refuses it, or can't be asked.
        """
        built = await self.unsent.build(view.room_id, draft)
        target = server_of(draft.state_key or "")
        if not view.admits(target):
            raise Forbidden(f"the room does not admit {target}")
        try:
            signed_event = await self._ask(view, built, target)
            pdu = await self._with_their_signature(view, built, target, signed_event)
        except RemoteError as error:
            raise _refused(error) from error
        received = receive_pdu(view.version, pdu)
        receipts = await self.rooms.receive(view.room_id, [received], origin=self.own)
        receipt = receipts[built.event.event_id]
        if receipt.standing is not Standing.ACCEPTED:
            raise Forbidden(receipt.reason or "the room does not allow it any more")
        return built.event.event_id

    async def _ask(
        self, view: RoomView, built: BuiltEvent, target: ServerName
    ) -> object:
        """The event as *target* sends it back."""
        pdu = pdu_json(view.version, built.client_json, built.server_json)
        told = await self.told_state.of_room(view, built.event.sender)
        room_state = [orjson.loads(each) for each in told]
        body: dict[str, Any] = {
            "event": pdu,
            "room_version": view.version.id,
            "invite_room_state": room_state,
        }
        try:
            answer = await self._put(target, "v2/invite", built, body)
        except PeerError as error:
            # "retry using the v1 API as the server may be older, if the room version
            # is "1" or "2"."
            is_old = view.version.event_ids is EventIdFormat.DOMAIN
            if error.status not in {400, 404} or not is_old:
                raise
            unsigned = {"invite_room_state": room_state}
            answer = await self._put(
                target, "v1/invite", built, {**pdu, "unsigned": unsigned}
            )
            answer = (
                answer[1] if isinstance(answer, list) and len(answer) == 2 else None
            )
        return answer.get("event") if isinstance(answer, dict) else None

    async def _put(
        self, target: ServerName, name: str, built: BuiltEvent, body: Mapping[str, Any]
    ) -> object:
        answer: object = await self.handshakes.client.put(
            target,
            federation_path(name, built.event.room_id, built.event.event_id),
            body,
            timeout_s=_TIMEOUT_S,
            bytes_max=_BYTES_MAX,
        )
        return answer

    async def _with_their_signature(
        self,
        view: RoomView,
        built: BuiltEvent,
        target: ServerName,
        signed_event: object,
    ) -> dict[str, Any]:
        """Our event with the signature of *target*, which is all that is taken over."""
        pdu = pdu_json(view.version, built.client_json, built.server_json)
        theirs = _signatures_of(signed_event, target)
        received = receive_pdu(view.version, pdu)
        needs = [
            KeyNeed(
                target,
                key_id,
                valid_at_ms=built.event.origin_server_ts,
                strict=view.version.enforce_key_validity,
            )
            for key_id in theirs
        ]
        known = await self.keys.verify_keys(needs)
        keys = {key_id: key.public_key for (_, key_id), key in known.items()}
        try:
            verify_any(theirs, keys, received.message)
        except BadSignature as error:
            raise PeerUnreachable(f"{target}: {error}") from error
        # Theirs may be the room's policy server as well.
        both = {**pdu["signatures"].get(target, {}), **theirs}
        return {**pdu, "signatures": {**pdu["signatures"], target: both}}


def _signatures_of(signed_event: object, target: ServerName) -> dict[str, str]:
    signatures = (
        signed_event.get("signatures") if isinstance(signed_event, dict) else None
    )
    theirs = signatures.get(target) if isinstance(signatures, dict) else None
    found = {
        key_id: signature
        for key_id, signature in (theirs if isinstance(theirs, dict) else {}).items()
        if is_key_id(key_id) and key_id != POLICY_KEY_ID and isinstance(signature, str)
    }
    if len(found) > _SIGNATURES_MAX:
        raise PeerUnreachable(f"{target}: too many signatures")
    return found


def _refused(error: RemoteError) -> MatrixError:
    """What the inviting user is told."""
    if isinstance(error, FederationDenied):
        return Forbidden(str(error))
    if isinstance(error, PeerError):
        if error.errcode == "M_INVITE_BLOCKED":
            return InviteBlocked(error.message)
        if error.errcode in {
            "M_INCOMPATIBLE_ROOM_VERSION",
            "M_UNSUPPORTED_ROOM_VERSION",
        }:
            return UnsupportedRoomVersion(
                "the user's server does not support the version of this room"
            )
    return relayed([error])
