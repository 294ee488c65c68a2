"""How a request to another server fails. Never a `MatrixError`: our caller decides."""


class RemoteError(Exception):
    """Another server can't be asked, or its answer is of no use."""


class PeerUnreachable(RemoteError):
    """No usable answer: discovery, network, certificate, time, or garbage."""


class PeerError(RemoteError):
    """The other server said no, with this status and standard error."""

    def __init__(self, status: int, errcode: str, message: str) -> None:
        super().__init__(f"{status} {errcode}: {message}")
        self.status = status
        self.errcode = errcode
        self.message = message


class FederationDenied(RemoteError):
    """Our configuration says not to speak with that server; nothing was sent."""
