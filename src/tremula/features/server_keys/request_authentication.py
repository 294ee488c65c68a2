"""Authenticating requests of other servers (SS "Request Authentication")."""

from collections.abc import Callable

from msgspec import Struct

from tremula.features.server_keys.key_ring import KeyRing
from tremula.infra.clock import Clock
from tremula.infra.federation.peers import Peers
from tremula.protocol.errors import Forbidden, Unauthorized
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import KeyNeed
from tremula.protocol.signing import BadSignature
from tremula.protocol.x_matrix import (
    SignedRequest,
    XMatrix,
    parse_authorization,
    verify_request,
)


class RequestAuthentication(Struct, frozen=True):
    """Implements `ServerAuthenticator` by the keys that servers publish.

    ``on_verified`` is told who made a request: that server is up.
    """

    peers: Peers
    key_ring: KeyRing
    clock: Clock
    on_verified: Callable[[ServerName], None]

    def admit(self, authorization: str | None) -> XMatrix:
        """Who claims to make a request, unless no signature would help.

        Raises:
            Unauthorized: the header is missing or malformed, or the request was made
                to another server.
            Forbidden: this server does not speak with that one.
        """
        claimed = parse_authorization(authorization)
        # "the receiving server must deny the request with … 401 Unauthorized"; old
        # servers leave it out, but have signed it.
        if claimed.destination not in {None, self.peers.own}:
            raise Unauthorized("the request was made to another server")
        if not self.peers.permits(claimed.origin):
            raise Forbidden("this server does not federate with yours")
        return claimed

    async def verify(
        self, authorization: XMatrix, *, method: str, uri: str, content: object
    ) -> None:
        """Check the signature of a request.

        Raises:
            Unauthorized: it is wrong, or by no key that is valid now.
            BadJson: the content cannot be canonical JSON.
        """
        origin, key_id = authorization.origin, authorization.key_id
        need = KeyNeed(origin, key_id, self.clock.now_ms(), strict=True)
        key = (await self.key_ring.verify_keys([need])).get((origin, key_id))
        if key is None:
            raise Unauthorized(f"{key_id} of {origin} is not known, or not valid now")
        request = SignedRequest(
            method=method,
            uri=uri,
            origin=origin,
            destination=self.peers.own,
            content=content,
        )
        try:
            verify_request(request, authorization, key.public_key)
        except BadSignature as error:
            raise Unauthorized("the signature of the request is wrong") from error
        self.on_verified(origin)
