"""What the server itself costs a request, without its connection and a feature.

``python -m bench.http_overhead`` drives the application in-process and prints the
CPU time of one ``PUT`` with 200 bytes of JSON and two fields in its path, from head
to answer: routing, authentication (of a token that is known), rate limit, strict
parsing, the answer's encoding, metrics.
"""

import asyncio
import sys
import time

import msgspec
import uvloop

from tests.fakes.wire import FakeWire
from tremula.infra.clock import SystemClock
from tremula.infra.config import RateLimit, RateLimits
from tremula.infra.http import (
    Auth,
    Json,
    Requester,
    RequestingClient,
    Router,
    UserRequest,
    endpoint,
)
from tremula.infra.http.application import Application
from tremula.infra.http.exchange import Exchange, HttpApp
from tremula.infra.metrics import Metrics
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.identifiers import DeviceId, UserId

REQUESTS = 5_000
ROUNDS = 20
BODY = b'{"msgtype":"m.text","body":"%s"}' % (b"x" * 168)
PATH = b"/_matrix/client/v3/rooms/!room:example.org/note/m1700000000000.1"
HEADERS = {
    b"host": b"localhost:8008",
    b"user-agent": b"bench",
    b"accept": b"*/*",
    b"accept-encoding": b"gzip, deflate, br",
    b"authorization": b"Bearer syt_YWxpY2U_abcdefghijklmnop",
    b"content-type": b"application/json",
    b"content-length": b"%d" % len(BODY),
    b"connection": b"keep-alive",
}
ALICE = Requester(
    user_id=UserId("@alice:example.org"),
    device_id=DeviceId("DEVICE"),
    is_guest=False,
    token_id=1,
    is_admin=False,
)


class NoteBody(msgspec.Struct):
    """The body of the request."""

    msgtype: str
    body: str


@endpoint(
    "PUT",
    "/_matrix/client/v3/rooms/{room_id}/note/{txn_id}",
    auth=Auth.USER,
    limit="message",
)
async def put_note(req: UserRequest, _service: None) -> Json:
    """Read what a handler would read, and do nothing."""
    req.body(NoteBody)
    return {"event_id": req.path["txn_id"]}


class OneUser:
    """Knows one user, by any token."""

    def recall(self, token: str, client: RequestingClient) -> Requester | None:
        """That user."""
        del token, client
        return ALICE

    async def authenticate(
        self, token: str, client: RequestingClient, *, query_string: bytes
    ) -> Requester:
        """That user."""
        del token, client, query_string
        return ALICE

    def is_current(self, requester: Requester) -> bool:
        """Whether it is."""
        return requester is ALICE


def application() -> HttpApp:
    """An application with the one endpoint and generous limits."""
    router = Router()
    router.add(sys.modules[__name__], None)
    generous = RateLimit(per_second=1e9, burst=1_000_000)
    return Application(
        router=router,
        authenticator=OneUser(),
        limiter=RateLimiter(RateLimits(message=generous), SystemClock()),
        metrics=Metrics(),
    ).for_listener()


async def measure(app: HttpApp) -> float:
    """The microseconds of CPU that one request took, on average."""
    wire = FakeWire()
    began_ns = time.process_time_ns()
    for _ in range(REQUESTS):
        exchange = Exchange(wire, "PUT", (PATH, b""), HEADERS)
        exchange.take(BODY)
        exchange.end_body()
        await app(exchange)
        assert wire.pieces.pop().startswith(b"HTTP/1.1 200")
    return (time.process_time_ns() - began_ns) / REQUESTS / 1000


async def main() -> None:
    """Print the best and the median of some rounds."""
    app = application()
    rounds = sorted([await measure(app) for _ in range(ROUNDS)])
    best, median = rounds[0], rounds[ROUNDS // 2]
    sys.stdout.write(f"{best:.1f} µs a request at best, {median:.1f} in the median\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
