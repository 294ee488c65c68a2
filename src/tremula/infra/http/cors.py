"""The CORS headers of every answer (CS "Web Browser Clients")."""

from typing import Final

from tremula.infra.http.heads import RawHeaders, format_head

_EVERYWHERE: RawHeaders = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
]
_ALLOWED = b"X-Requested-With, Content-Type, Authorization"

CORS_HEADERS: RawHeaders = [
    *_EVERYWHERE,
    (b"access-control-allow-headers", _ALLOWED),
]

_DAY_S = 86_400

# "the server MUST NOT perform any logic defined for the endpoints when approached
# with an OPTIONS request": one answer for all paths, existing or not.
PREFLIGHT_HEAD: Final = format_head(
    204,
    [
        *_EVERYWHERE,
        # With those that make requests conditional (MSC4108).
        (b"access-control-allow-headers", _ALLOWED + b", If-Match, If-None-Match"),
        (b"access-control-max-age", b"%d" % _DAY_S),
    ],
)
