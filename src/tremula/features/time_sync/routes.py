"""The server's time at the HTTP edge, by which bridges set their clocks."""

from tremula.infra.clock import Clock
from tremula.infra.http import Auth, Json, Request, endpoint


@endpoint(
    "GET",
    "/_matrix/client/unstable/com.beeper.timesync",
    auth=Auth.NONE,
    limit="default",
)
async def get_time(_req: Request, clock: Clock) -> Json:
    """The time in milliseconds."""
    return {"time_ms": clock.now_ms()}
