"""Both halves of a handshake as the asking server makes them."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from tremula.features.federation_handshakes.residents import Deadline
from tremula.features.federation_handshakes.templates import (
    Template,
    Wish,
    check_template,
)
from tremula.infra.clock import Clock
from tremula.infra.federation.client import FederationClient, Query
from tremula.infra.federation.errors import PeerUnreachable
from tremula.protocol.events import BuiltEvent, pdu_json
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from tremula.protocol.signing import SigningKey

PREFIX: Final = "/_matrix/federation"

_MAKE_TIMEOUT_S: Final = 15.0
_SEND_TIMEOUT_S: Final = 30.0
_BYTES_MAX: Final = 2 * 1024 * 1024


class SignedWish(Struct, frozen=True):
    """A wish that has become an event of this server, in a room of ``version``."""

    version: RoomVersion
    built: BuiltEvent

    @property
    def event_id(self) -> EventId:
        """That of the event."""
        return self.built.event.event_id

    @property
    def pdu(self) -> dict[str, Any]:
        """The event as servers send it."""
        return pdu_json(self.version, self.built.client_json, self.built.server_json)

    def path(self, version_and_name: str) -> str:
        """That of a ``send_…`` endpoint, as in ``v2/send_join``."""
        return federation_path(
            version_and_name, self.built.event.room_id, self.event_id
        )


class Handshakes(Struct, frozen=True):
    """Makes wishes of our users into events, with the help of resident servers."""

    client: FederationClient
    key: SigningKey
    clock: Clock

    async def make(
        self, resident: ServerName, wish: Wish, deadline: Deadline
    ) -> SignedWish:
        """Have *resident* say where the event belongs, check that, and sign it.

        Raises:
            BadTemplate: its answer is not what was asked for.
            RemoteError: it does not help.
        """
        query: Query | None = None
        if wish.membership in {"join", "knock"}:
            query = {"ver": list(ROOM_VERSIONS)}
        answer = await self.client.get(
            resident,
            federation_path(f"v1/make_{wish.membership}", wish.room_id, wish.user_id),
            query,
            timeout_s=deadline.left_s(_MAKE_TIMEOUT_S),
            bytes_max=_BYTES_MAX,
        )
        template: Template = check_template(answer, wish, resident=resident)
        built = template.sign(self.key, now_ms=self.clock.now_ms())
        return SignedWish(template.version, built)

    async def send(
        self,
        resident: ServerName,
        signed: SignedWish,
        version_and_name: str,
        deadline: Deadline,
    ) -> Mapping[str, Any]:
        """Have *resident* take the event into the room; its answer.

        Raises:
            RemoteError: it does not.
        """
        answer = await self.client.put(
            resident,
            signed.path(version_and_name),
            signed.pdu,
            timeout_s=deadline.left_s(_SEND_TIMEOUT_S),
            bytes_max=_BYTES_MAX,
        )
        if not isinstance(answer, dict):
            raise PeerUnreachable(f"{resident}: the answer is no object")
        return answer


def federation_path(version_and_name: str, room_id: RoomId, last: str) -> str:
    """A percent-encoded path that names a room, and a user or event in it."""
    parts = f"{quote(room_id, safe='')}/{quote(last, safe='')}"
    return f"{PREFIX}/{version_and_name}/{parts}"
