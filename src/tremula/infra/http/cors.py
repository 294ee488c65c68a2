"""The CORS headers of every answer (CS "Web Browser Clients")."""

from tremula.infra.http.asgi import Message, RawHeaders

CORS_HEADERS: RawHeaders = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"X-Requested-With, Content-Type, Authorization",
    ),
]

_DAY_S = 86_400

# "the server MUST NOT perform any logic defined for the endpoints when approached
# with an OPTIONS request": one answer for all paths, existing or not.
PREFLIGHT_START: Message = {
    "type": "http.response.start",
    "status": 204,
    "headers": [*CORS_HEADERS, (b"access-control-max-age", b"%d" % _DAY_S)],
}
PREFLIGHT_BODY: Message = {"type": "http.response.body", "body": b""}
