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
from uvicorn.config import Config
from uvicorn.server import ServerState

from tremula.infra.config import Listener, Tls
from tremula.infra.http.application import Application
from tremula.infra.http.client_address import TrustedProxies
from tremula.infra.http.errors import ListenError
from tremula.infra.http.protocol import START_S, BoundedProtocol

log = structlog.get_logger(__name__)

_KEEP_ALIVE_S = 75
_BACKLOG = 2048
_REASONS = {
    errno.EADDRINUSE: "another program listens there already",
    errno.EACCES: "this user may not listen there",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


class HttpServer:
    """Serves an application on its listeners.

    ``start_s``: how long a request may take to come, beside the time for its length.
    """

    def __init__(self, application: Application, *, start_s: float = START_S) -> None:
        self._application = application
        self._start_s = start_s
        self._servers: list[asyncio.Server] = []
        # uvicorn's record of what is open: one for all listeners.
        self._state = ServerState()
        self._date_timer: asyncio.TimerHandle | None = None

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
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = set(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._date_timer is not None:
            self._date_timer.cancel()

    async def _open(self, listener: Listener) -> asyncio.Server:
        proxies = TrustedProxies(listener.trusted_proxies)
        app = self._application.for_listener(frozenset(listener.apis), proxies)
        config = Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            # TrustedProxies reads them.
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        config.load()
        connect = partial(BoundedProtocol, config, self._state, start_s=self._start_s)
        try:
            return await _bind(listener, connect)
        except OSError as error:
            raise ListenError(
                f"cannot listen on {listener.url}: {_reason(error)}"
            ) from error

    def _refresh_date(self) -> None:
        """Set the ``Date`` of answers, once a second for all of them."""
        date = formatdate(usegmt=True).encode("ascii")
        self._state.default_headers[:] = [(b"date", date)]
        loop = asyncio.get_running_loop()
        self._date_timer = loop.call_later(1, self._refresh_date)


async def _bind(
    listener: Listener, connect: Callable[[], asyncio.Protocol]
) -> asyncio.Server:
    tls = None if listener.tls is None else _tls_context(listener.tls)
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


def _tls_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        # ssl.SSLError is an OSError.
        raise ListenError(
            f"cannot use the certificate {tls.certificate} with the key {tls.key}: "
            f"{_reason(error)}"
        ) from error
    return context


def _reason(error: OSError) -> str:
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    return os.strerror(error.errno) if error.errno else str(error)
