"""Which certificate a server shows, for who wants to know before others do."""

import asyncio
import errno
import os
import ssl
from typing import Final, cast

from msgspec import Struct

from tremula.infra.outbound.endpoint import Endpoint
from tremula.infra.outbound.errors import ConnectFailed

_CONNECT_S: Final = 10
# A router or firewall may answer EHOSTUNREACH in the other's place, but over IPv6 it is
# what machines without it mostly say.
_NO_ROUTE: Final = frozenset(
    {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)
_NO_ROUTE_IPV6: Final = _NO_ROUTE | {errno.EHOSTUNREACH}


class PresentedCertificate(Struct, frozen=True):
    """From when until when it is valid, in seconds since the Unix epoch."""

    valid_from_s: float
    valid_until_s: float


class CertificateRefused(ConnectFailed):
    """The certificate proves nothing: another name, too old, unknown authority."""


class NoRoute(ConnectFailed):
    """This machine has no network of that kind, most often no IPv6."""


async def presented_certificate(
    ip: str, endpoint: Endpoint, tls: ssl.SSLContext
) -> PresentedCertificate:
    """Connect to *ip*, one of the addresses of *endpoint*, and end the connection.

    Raises:
        ConnectFailed: there is none, or `CertificateRefused`, or `NoRoute`.
    """
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(
                ip, endpoint.port, ssl=tls, server_hostname=endpoint.tls_name
            )
    except ssl.SSLCertVerificationError as error:
        raise CertificateRefused(error.verify_message) from error
    except TimeoutError as error:
        raise ConnectFailed(f"no connection within {_CONNECT_S} s") from error
    except ssl.SSLError as error:
        raise ConnectFailed(f"no TLS: {error.reason or error}") from error
    except OSError as error:
        no_route = _NO_ROUTE_IPV6 if ":" in ip else _NO_ROUTE
        kind = NoRoute if error.errno in no_route else ConnectFailed
        # asyncio's own text says where to, but not why.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise kind(reason) from error
    # It was verified, so that it is there, with all its fields.
    shown = writer.get_extra_info("peercert")
    writer.transport.abort()
    return PresentedCertificate(
        ssl.cert_time_to_seconds(cast("str", shown["notBefore"])),
        ssl.cert_time_to_seconds(cast("str", shown["notAfter"])),
    )
