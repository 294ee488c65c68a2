"""How a request to another server fails. Never a `MatrixError`: our caller decides."""


class RemoteError(Exception):
    """Another server can't be asked, or its answer is of no use."""


class PeerUnreachable(RemoteError):
    """No usable answer: discovery, network, certificate, time, or garbage."""


class PeerError(RemoteError):
    """The other server said no, with this status and standard error.

    ``room_version`` comes with M_INCOMPATIBLE_ROOM_VERSION, ``retry_after_ms`` with
    M_LIMIT_EXCEEDED.
    """

    def __init__(
        self,
        status: int,
        errcode: str,
        message: str,
        *,
        room_version: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"{status} {errcode}: {message}")
        self.status = status
        self.errcode = errcode
        self.message = message
        self.room_version = room_version
        self.retry_after_ms = retry_after_ms


class FederationDenied(RemoteError):
    """Our configuration says not to speak with that server; nothing was sent."""
