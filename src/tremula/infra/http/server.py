"""The listeners of this process, all in one event loop."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import partial
from pathlib import Path

import structlog

from tremula.infra.config import Listener
from tremula.infra.http.application import Application
from tremula.infra.http.client_address import TrustedProxies
from tremula.infra.http.connections import Connections
from tremula.infra.http.errors import ListenError
from tremula.infra.http.patience import START_S
from tremula.infra.http.protocol import HttpConnection
from tremula.infra.http.served_certificate import ServedCertificate

log = structlog.get_logger(__name__)

_REFRESH_CERTIFICATES_S = 60
_BACKLOG = 2048
_REASONS = {
    errno.EADDRINUSE: "another program listens there already",
    errno.EACCES: "this user may not listen there",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


class HttpServer:
    """Serves an application on its listeners.

    ``start_s``: how long a request may take to come, beside the time for its length.
    ``refresh_s``: how often the certificates' files are looked at.
    """

    def __init__(
        self,
        application: Application,
        *,
        start_s: float = START_S,
        refresh_s: float = _REFRESH_CERTIFICATES_S,
    ) -> None:
        self._application = application
        self._start_s = start_s
        self._refresh_s = refresh_s
        self._servers: list[asyncio.Server] = []
        self._connections = Connections()
        self._date_timer: asyncio.TimerHandle | None = None
        self._certificates: list[ServedCertificate] = []
        self._certificates_timer: asyncio.TimerHandle | None = None

    async def listen(self, listeners: Sequence[Listener]) -> None:
        """Start serving: on all of *listeners* or, when one fails, on none.

        Raises:
            ListenError: an address or certificate can't be used.
        """
        self._refresh_date()
        try:
            for listener in listeners:
                self._servers.append(await self._open(listener))
        except ListenError:
            await self.stop(grace_s=0)
            raise
        self._refresh_certificates_later()

    @property
    def ports(self) -> list[int]:
        """The port of each listener: what port 0 has become; 0 for Unix sockets."""
        names = [server.sockets[0].getsockname() for server in self._servers]
        return [0 if isinstance(name, str) else name[1] for name in names]

    async def stop(self, *, grace_s: float = 30) -> None:
        """Accept nothing more, finish what was accepted, and return.

        What has not ended after *grace_s* is cancelled.
        """
        self._application.shutting_down.set()
        for server in self._servers:
            server.close()
        for connection in list(self._connections.open):
            connection.shutdown()
        tasks = set(self._connections.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for timer in (self._date_timer, self._certificates_timer):
            if timer is not None:
                timer.cancel()

    async def _open(self, listener: Listener) -> asyncio.Server:
        proxies = TrustedProxies(listener.trusted_proxies)
        app = self._application.for_listener(frozenset(listener.apis), proxies)
        connect = partial(HttpConnection, app, self._connections, start_s=self._start_s)
        tls = None
        if listener.tls is not None:
            certificate = ServedCertificate(listener.tls)
            self._certificates.append(certificate)
            tls = certificate.context
        try:
            return await _bind(listener, connect, tls)
        except OSError as error:
            raise ListenError(
                f"cannot listen on {listener.url}: {_reason(error)}"
            ) from error

    def _refresh_date(self) -> None:
        """Set the ``Date`` of answers, once a second for all of them."""
        date = formatdate(usegmt=True).encode("ascii")
        self._connections.date_line = b"date: %b\r\n" % date
        loop = asyncio.get_running_loop()
        self._date_timer = loop.call_later(1, self._refresh_date)

    def _refresh_certificates_later(self) -> None:
        if self._certificates:
            self._certificates_timer = asyncio.get_running_loop().call_later(
                self._refresh_s, self._refresh_certificates
            )

    def _refresh_certificates(self) -> None:
        for certificate in self._certificates:
            certificate.refresh()
        self._refresh_certificates_later()


async def _bind(
    listener: Listener,
    connect: Callable[[], asyncio.Protocol],
    tls: ssl.SSLContext | None,
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    path = listener.unix_socket
    if path is None:
        return await loop.create_server(
            connect, listener.address, listener.port, ssl=tls, backlog=_BACKLOG
        )
    # The loop removes a socket that it finds there, also one that is in use.
    if _is_in_use(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return await loop.create_unix_server(connect, path, ssl=tls, backlog=_BACKLOG)


def _is_in_use(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _reason(error: OSError) -> str:
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    return os.strerror(error.errno) if error.errno else str(error)
