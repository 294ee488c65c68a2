"""Where the servers of a NATS cluster are, and who we are to them."""

from urllib.parse import unquote, urlsplit

from tremula.protocol.unprinted import Unprinted

_DEFAULT_PORT = 4222
_SCHEMES = {"nats", "tls"}


class NatsServer(Unprinted, frozen=True, kw_only=True):
    """One server, and a user with a password, or a token, or neither."""

    host: str
    port: int
    needs_tls: bool
    user: str | None = None
    password: str | None = None
    token: str | None = None

    @property
    def place(self) -> str:
        """``host:port``, for the log and for the client; no secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_nats_url(url: str) -> NatsServer:
    """Read ``nats://``, or ``tls://`` where nothing may go unencrypted.

    ``user:password@`` or ``token@`` may stand before the host, percent-encoded.

    Raises:
        ValueError: it is no such URL. The message does not repeat it: it may hold
            a password.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError('must be "nats://HOST:PORT" or "tls://HOST:PORT"')
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must have nothing behind host and port")
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        raise ValueError("must have a port from 1 to 65535") from None
    name = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return NatsServer(
        host=parts.hostname,
        port=port,
        needs_tls=parts.scheme == "tls",
        user=name if password is not None else None,
        password=password,
        token=name if password is None else None,
    )
