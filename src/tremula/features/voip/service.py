"""Credentials for TURN, and where calls of many are transported."""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.config import Turn
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import UserId


def livekit_transports(service_urls: Sequence[str]) -> list[dict[str, str]]:
    """The transports of MSC4143 that LiveKit's token services stand for (MSC4195)."""
    return [{"type": "livekit", "livekit_service_url": url} for url in service_urls]


class Voip(Struct, frozen=True):
    """Tells users where to send the media of their calls."""

    clock: Clock
    turn: Turn
    transports: Sequence[dict[str, str]]

    def turn_server(self, user_id: UserId) -> dict[str, Any]:
        """The answer of CS getTurnServer.

        Raises:
            NotFound: there is no TURN server (MSC4166). COMPAT(matrix-js-sdk, 34): of
                an answer without URIs browsers make no connection, and no call.
        """
        if not self.turn.uris:
            raise NotFound("This server has no TURN server.")
        username, password = self._credentials(user_id)
        return {
            "username": username,
            "password": password,
            "uris": list(self.turn.uris),
            "ttl": self.turn.ttl_s,
        }

    def _credentials(self, user_id: UserId) -> tuple[str, str]:
        secret = self.turn.shared_secret
        if secret is None:
            return self.turn.username or "", self.turn.password or ""
        # As in "A REST API For Access To TURN Services", which TURN servers implement.
        expires_ts_s = self.clock.now_ms() // 1000 + self.turn.ttl_s
        username = f"{expires_ts_s}:{user_id}"
        digest = hmac.digest(secret.encode(), username.encode(), sha1)
        return username, b64encode(digest).decode()
