"""Policy servers of other server names, as the room engine asks them."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import FederationDenied, PeerError, RemoteError
from tremula.protocol.errors import (
    BadJson,
    Forbidden,
    LimitExceeded,
    MatrixError,
    NotFound,
    NotJson,
    Unknown,
    Unrecognized,
)
from tremula.protocol.identifiers import ServerName

log = structlog.get_logger(__name__)

_PATH: Final = "/_matrix/policy/v1/sign"

# All that is sent to the room waits for it.
_TIMEOUT_S: Final = 10.0
_BYTES_MAX: Final = 64 * 1024

_FIRST_PAUSE_S: Final = 5.0
# Short, since nobody can send anything as long as it lasts.
_LONGEST_PAUSE_S: Final = 60.0
_PAUSES_BYTES: Final = 1024 * 1024
_PAUSE_BYTES: Final = 600

# Those of askPolicyServerToSign. Others may mean much to a client, such as that it is
# logged out.
_ERRORS: Final[dict[str, type[MatrixError]]] = {
    each.errcode: each for each in (BadJson, Forbidden, NotFound, NotJson, Unrecognized)
}
_STATUSES: Final = frozenset({400, 403, 404})


class _Pause(Struct, frozen=True):
    ends_s: float
    length_s: float


class RemotePolicyServers:
    """Implements the room engine's ``PolicySigner``.

    One that does not answer is let alone for some seconds, and then longer.
    """

    def __init__(self, client: FederationClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.pauses: ByteLRU[ServerName, _Pause] = ByteLRU(_PAUSES_BYTES)

    async def ask(self, server: ServerName, pdu: Mapping[str, Any]) -> object:
        """SS askPolicyServerToSign: what *server* answers, unchecked.

        Raises:
            Forbidden, LimitExceeded, BadJson, NotJson, NotFound, Unrecognized: it says
                so. "[T]hat error SHOULD be provided to the client verbatim."
            Unknown: (502) it does not answer.
        """
        pause = self.pauses.get(server)
        if pause is not None and pause.ends_s > self._clock.monotonic_s():
            raise _unreachable()
        try:
            answer: object = await self._client.post(
                server, _PATH, pdu, timeout_s=_TIMEOUT_S, bytes_max=_BYTES_MAX
            )
        except FederationDenied as error:
            raise Forbidden(
                "this server does not speak with the room's policy server"
            ) from error
        except RemoteError as error:
            log.info("policy_server_refuses", server=server, reason=str(error))
            if isinstance(error, PeerError) and error.status < 500:
                self.pauses.discard(server)
                raise _refusal(error) from error
            self._pause(server)
            raise _unreachable() from error
        self.pauses.discard(server)
        return answer

    def _pause(self, server: ServerName) -> None:
        now_s = self._clock.monotonic_s()
        last = self.pauses.get(server)
        if last is not None and last.ends_s > now_s:
            # Another room has found out at the same time.
            return
        length_s = min(2 * last.length_s, _LONGEST_PAUSE_S) if last else _FIRST_PAUSE_S
        self.pauses.put(server, _Pause(now_s + length_s, length_s), _PAUSE_BYTES)


def _unreachable() -> Unknown:
    # Without what went wrong: it may name addresses of our network.
    return Unknown("the room's policy server does not answer", status=502)


def _refusal(error: PeerError) -> MatrixError:
    message = error.message or "the room's policy server refuses the event"
    if error.errcode == LimitExceeded.errcode:
        return LimitExceeded(message, retry_after_ms=error.retry_after_ms)
    told = _ERRORS.get(error.errcode, Forbidden)
    return told(message, status=error.status if error.status in _STATUSES else None)
