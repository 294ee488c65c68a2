"""Whether clients find the server by the name in its users' IDs."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from tremula.cli.doctor.finding import Finding, note, ok, wrong
from tremula.cli.doctor.world import LIMITS
from tremula.infra.federation.well_known import Web
from tremula.infra.outbound.endpoint import split_host
from tremula.infra.outbound.errors import OutboundError
from tremula.protocol.identifiers import ServerName

_REDIRECTS_MAX: Final = 5
_SUBJECT: Final = "clients"


class _Homeserver(msgspec.Struct):
    base_url: str


class _ClientWellKnown(msgspec.Struct):
    """The answer of CS ``getWellknown``."""

    homeserver: _Homeserver = msgspec.field(name="m.homeserver")


async def examine_clients_way(
    server_name: ServerName, public_base_url: str | None, web: Web
) -> AsyncIterator[Finding]:
    """What a client does that knows a user ID only."""
    if public_base_url is None:
        yield note(
            _SUBJECT,
            "public_base_url is not set, so that users have to tell their clients"
            " where the server is",
        )
        return
    yield await _examine_well_known(server_name, public_base_url, web)
    yield await _examine_base_url(public_base_url, web)


async def _examine_well_known(
    server_name: ServerName, public_base_url: str, web: Web
) -> Finding:
    # "Extract the hostname from the server name."
    hostname, _ = split_host(server_name)
    host = f"[{hostname}]" if ":" in hostname else hostname
    url = f"https://{host}/.well-known/matrix/client"
    remedy = "have it answered by Tremula, or by a file: see docs/federation.md"
    try:
        answer = await web.get(url, LIMITS, redirects_max=_REDIRECTS_MAX)
    except OutboundError as error:
        return wrong(_SUBJECT, f"{url} does not answer ({error})", remedy)
    if answer.status != 200:
        return wrong(_SUBJECT, f"{url} answers with status {answer.status}", remedy)
    try:
        said = msgspec.json.decode(answer.body, type=_ClientWellKnown)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return wrong(_SUBJECT, f"{url} answers with something else", remedy)
    base_url = said.homeserver.base_url
    if base_url.rstrip("/") != public_base_url.rstrip("/"):
        return wrong(
            _SUBJECT,
            f"{url} leads to {base_url}, but public_base_url is {public_base_url}",
            "correct the one that is out of date",
        )
    if answer.headers.get("access-control-allow-origin") != "*":
        return wrong(
            _SUBJECT,
            f"{url} can't be read by clients in browsers",
            "answer with the header Access-Control-Allow-Origin: *",
        )
    return ok(_SUBJECT, f"{url} leads to {base_url}")


async def _examine_base_url(public_base_url: str, web: Web) -> Finding:
    url = f"{public_base_url.rstrip('/')}/_matrix/client/versions"
    remedy = "have /_matrix passed on to a listener with the client API"
    try:
        answer = await web.get(url, LIMITS)
    except OutboundError as error:
        return wrong(_SUBJECT, f"{url} does not answer ({error})", remedy)
    if answer.status != 200:
        return wrong(_SUBJECT, f"{url} answers with status {answer.status}", remedy)
    return ok(_SUBJECT, f"{url} answers")
