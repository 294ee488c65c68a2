"""The one place where exceptions become answers."""

import math

import structlog

from tremula.infra.blobs.store import BlobError
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.http.response import Response
from tremula.protocol.errors import MatrixError, Unknown

log = structlog.get_logger(__name__)

_DATABASE_RETRY_S = 5
_BLOBS_RETRY_S = 30


class ListenError(Exception):
    """An address cannot be listened on; the message tells an operator why."""


class HungUpError(Exception):
    """The client is gone: nobody waits for an answer."""


def error_response(error: Exception) -> Response:
    """The standard error response (CS "Standard error response") for *error*.

    What is not a `MatrixError` is our own fault: logged, and no details to the peer.
    """
    if isinstance(error, MatrixError):
        return _response(error, retry_after_s=_retry_after_s(error))
    if isinstance(error, DatabaseUnavailable):
        log.warning("database_unavailable", reason=str(error))
        busy = Unknown("the database is not available now", status=503)
        return _response(busy, retry_after_s=_DATABASE_RETRY_S)
    if isinstance(error, BlobError):
        log.error("blobs_unavailable", reason=str(error))
        busy = Unknown("files are not available now", status=503)
        return _response(busy, retry_after_s=_BLOBS_RETRY_S)
    log.error("request_failed", exc_info=error)
    return _response(Unknown("internal server error"))


def _response(error: MatrixError, *, retry_after_s: int | None = None) -> Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return Response(error.http_status, error.body(), headers)


def _retry_after_s(error: MatrixError) -> int | None:
    """``Retry-After`` for the errors that have a ``retry_after_ms``: 429, and 503."""
    milliseconds = error.extra.get("retry_after_ms")
    return math.ceil(milliseconds / 1000) if isinstance(milliseconds, int) else None
