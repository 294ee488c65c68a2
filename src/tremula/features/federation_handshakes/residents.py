"""Asks servers that are in a room, one after the other, until one of them helps."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import structlog
from msgspec import Struct

from tremula.features.federation_handshakes.templates import BadTemplate
from tremula.infra.clock import Clock
from tremula.infra.federation.errors import FederationDenied, PeerError, RemoteError
from tremula.protocol.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    MatrixError,
    NotFound,
    NotJson,
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
    Unknown,
    UnsupportedRoomVersion,
)
from tremula.protocol.identifiers import RoomId, ServerName, is_valid_server_name
from tremula.rooms.peers import PeerFailed

T = TypeVar("T")

log = structlog.get_logger(__name__)

CANDIDATES_MAX: Final = 10
"""How many servers are asked for one thing."""

_UNHELPFUL: Final = (RemoteError, PeerFailed, BadTemplate, NotJson)

# What a client is told, the most telling first: a server that is in the room knows
# better than one that is not.
_TELLING: Final[dict[str, type[MatrixError]]] = {
    "M_UNABLE_TO_AUTHORISE_JOIN": UnableToAuthoriseJoin,
    "M_UNABLE_TO_GRANT_JOIN": UnableToGrantJoin,
    "M_FORBIDDEN": Forbidden,
    "M_NOT_FOUND": NotFound,
}
_INCOMPATIBLE: Final = "M_INCOMPATIBLE_ROOM_VERSION"


class Deadline(Struct, frozen=True):
    """When a client has waited long enough, by the monotonic clock."""

    clock: Clock
    at_s: float

    @classmethod
    def after(cls, clock: Clock, timeout_s: float) -> "Deadline":
        """In *timeout_s* from now."""
        return cls(clock, clock.monotonic_s() + timeout_s)

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return self.clock.monotonic_s() >= self.at_s

    def left_s(self, most_s: float) -> float:
        """How long one request may take, *most_s* at most."""
        return max(0.0, min(most_s, self.at_s - self.clock.monotonic_s()))


class Candidates(Struct, frozen=True):
    """Servers that may be in a room."""

    room_id: RoomId
    servers: tuple[ServerName, ...]

    @classmethod
    def of(
        cls, room_id: RoomId, servers: Iterable[str], *, own: ServerName
    ) -> "Candidates":
        """Those of *servers* that can be asked, each once, in their order."""
        names = dict.fromkeys(
            ServerName(name)
            for name in servers
            if name != own and is_valid_server_name(name)
        )
        return cls(room_id, tuple(names)[:CANDIDATES_MAX])

    async def first(
        self, attempt: Callable[[ServerName], Awaitable[T]], deadline: Deadline
    ) -> T:
        """What *attempt* gets of the first server with which it succeeds.

        None is begun with after the *deadline*.

        Raises:
            NotFound: there is nobody to ask, or nobody knows the room.
            IncompatibleRoomVersion: this server can't be in such a room.
            Forbidden, UnableToAuthoriseJoin, UnableToGrantJoin: the room's rules.
            Unknown: (502) nobody answers, or nothing of use.
        """
        if not self.servers:
            raise NotFound(f"this server knows nobody to ask about {self.room_id}")
        failures: list[Exception] = []
        for server in self.servers:
            if deadline.is_over:
                break
            try:
                return await attempt(server)
            except _UNHELPFUL as error:
                failures.append(error)
                self._log_failure(server, error)
        raise relayed(failures)

    def _log_failure(self, server: ServerName, error: Exception) -> None:
        log.info(
            "handshake_failed", room_id=self.room_id, server=server, reason=str(error)
        )


def relayed(failures: Iterable[Exception]) -> MatrixError:
    """What a client is told when nobody helps."""
    failed = list(failures)
    refusals = {e.errcode: e for e in failed if isinstance(e, PeerError)}
    if (incompatible := refusals.get(_INCOMPATIBLE)) is not None:
        message = "this server does not support the version of the room"
        if incompatible.room_version is None:
            return UnsupportedRoomVersion(message)
        return IncompatibleRoomVersion(message, room_version=incompatible.room_version)
    for errcode, error_class in _TELLING.items():
        if (refusal := refusals.get(errcode)) is not None:
            return error_class(refusal.message or "the other server refuses")
    if failed and all(isinstance(each, FederationDenied) for each in failed):
        return Forbidden("this server does not speak with the servers in the room")
    # Without what went wrong: it may name addresses of our network.
    return Unknown("no server in the room could be asked", status=502)
