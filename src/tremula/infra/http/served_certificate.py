"""The certificate of a listener: loaded, and loaded anew when it was renewed."""

import ssl
from pathlib import Path

import structlog

from tremula.infra.config import Tls
from tremula.infra.http.errors import ListenError

log = structlog.get_logger(__name__)

# By which a file is known to be the same: what stat(2) says of it, None if it is gone.
_Version = tuple[int, int, int] | None


class ServedCertificate:
    """A certificate and its key, in the ``context`` for new connections."""

    def __init__(self, tls: Tls) -> None:
        """Load them.

        Raises:
            ListenError: they can't be used.
        """
        self._tls = tls
        self._versions = self._current_versions()
        self.context = _loaded(tls)

    def refresh(self) -> None:
        """Load them anew if the files have changed; if that fails, the old ones stay.

        Whoever renews them writes two files: between the two, they do not fit.
        """
        versions = self._current_versions()
        if versions == self._versions:
            return
        self._versions = versions
        try:
            # On trial first: half of a pair must not take the place of the old one.
            _loaded(self._tls)
            _load(self.context, self._tls)
        except ListenError as error:
            log.warning("certificate_not_reloaded", reason=str(error))
        else:
            log.info("certificate_reloaded", certificate=str(self._tls.certificate))

    def _current_versions(self) -> tuple[_Version, _Version]:
        return _version(self._tls.certificate), _version(self._tls.key)


def _version(file: Path) -> _Version:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _loaded(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        # ssl.SSLError is an OSError, whose errno is none.
        raise ListenError(
            f"cannot use the certificate {tls.certificate} with the key {tls.key}: "
            f"{error.strerror or error}"
        ) from error
