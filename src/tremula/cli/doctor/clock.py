"""Whether this machine knows what time it is."""

from email.utils import parsedate_to_datetime
from typing import Final

from tremula.cli.doctor.finding import Finding, note, ok, wrong
from tremula.cli.doctor.world import LIMITS, World
from tremula.infra.federation.discovery import Discovery
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.outbound.endpoint import OutboundRequest
from tremula.infra.outbound.errors import OutboundError
from tremula.protocol.identifiers import ServerName

_SUBJECT: Final = "clock"
_OFF_MAX_S: Final = 30
_REQUEST: Final = OutboundRequest("GET", "/_matrix/federation/v1/version")


async def examine_clock(
    server_name: ServerName, discovery: Discovery, world: World
) -> Finding:
    """Compare the clock with that of another server, by the header Date."""
    try:
        endpoint, *_ = await discovery.endpoints(server_name)
        answer = await world.requests.request(endpoint, _REQUEST, LIMITS)
        theirs_s = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (PeerUnreachable, OutboundError) as error:
        return note(_SUBJECT, f"{server_name} can't be asked for the time ({error})")
    except (KeyError, ValueError, OverflowError):
        return note(_SUBJECT, f"{server_name} does not say what time it is")
    off_s = round(world.now_s - theirs_s)
    if abs(off_s) > _OFF_MAX_S:
        relation = "ahead of" if off_s > 0 else "behind"
        return wrong(
            _SUBJECT,
            f"{abs(off_s)} s {relation} that of {server_name}",
            "have it set by NTP: keys and certificates count by the time",
        )
    return ok(_SUBJECT, f"agrees with that of {server_name}")
