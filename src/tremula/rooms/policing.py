"""Has a room's policy server sign its events (SS "Policy Servers")."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from tremula.protocol.errors import Forbidden
from tremula.protocol.events import BuiltEvent, pdu_json
from tremula.protocol.identifiers import ServerName
from tremula.protocol.policy_servers import (
    POLICY,
    PolicyServer,
    is_exempt,
    is_signed_by,
    parse_policy_server,
    with_policy_signature,
)
from tremula.protocol.signing import BadSignature
from tremula.rooms.room import Room


class PolicySigner(Protocol):
    """Asks policy servers for signatures; the policy_servers feature implements it."""

    async def ask(self, server: ServerName, pdu: Mapping[str, Any]) -> object:
        """What *server* answers to SS askPolicyServerToSign, unchecked.

        Raises:
            MatrixError: it refuses to sign *pdu*, or can't be asked. That is what the
                sender is told.
        """
        ...


def policy_server_of(room: Room) -> PolicyServer | None:
    """The policy server that *room* uses now, if any.

    SS "Determining if a Policy Server is enabled in a room". Events of a room that does
    not federate are not signed at all.
    """
    event = room.head.state.get(POLICY)
    if event is None or not room.head.federates:
        return None
    server = parse_policy_server(event.content)
    if server is None or server.name not in room.servers.counts:
        return None
    return server


class Policing(Struct, frozen=True):
    """Judges by signatures of policy servers; without *signer* asks for none.

    A room without a policy server costs a look at its state.
    """

    signer: PolicySigner | None

    def recommends(self, room: Room, built: BuiltEvent) -> bool:
        """Whether nothing of the room's policy server is missing on *built*."""
        server = policy_server_of(room)
        return (
            server is None
            or is_exempt(built.event.type, built.event.state_key)
            or is_signed_by(server, room.version, built)
        )

    async def signed(self, room: Room, built: BuiltEvent) -> BuiltEvent:
        """*built* with the signature that it needs, asked for if it has none.

        Raises:
            Forbidden: the policy server answers no signature of this event.
            TooLarge: the signature makes the event larger than an event may be.
            MatrixError: the policy server refuses, or can't be asked.
        """
        server = policy_server_of(room)
        if server is None or self.recommends(room, built):
            return built
        if self.signer is None:
            raise Forbidden("this server can't ask the room's policy server")
        pdu = pdu_json(room.version, built.client_json, built.server_json)
        answer = await self.signer.ask(server.name, pdu)
        try:
            return with_policy_signature(server, room.version, built, answer)
        except BadSignature as error:
            raise Forbidden(
                f"the room's policy server does not sign as it must: {error}"
            ) from error


UNPOLICED: Final = Policing(None)
"""Without federation: nobody is asked."""
