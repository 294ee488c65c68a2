"""Where bridges that have no websocket report."""

from typing import Final

from msgspec import Struct

from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.bridge_reports.service import ReportTaker
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import Forbidden

_BODY_BYTES_MAX: Final = 1024 * 1024


class Reporting(Struct, frozen=True):
    """Takes the reports of those who may make them."""

    appservices: Appservices
    taker: ReportTaker

    def reporter(self, req: UserRequest) -> Appservice:
        """The application service that makes *req*; whatever its path says.

        Raises:
            Forbidden: there is none.
        """
        if req.requester.appservice_id is None:
            raise Forbidden("this is for application services")
        return self.appservices.get(req.requester.appservice_id)


@endpoint("POST", "/bridgebox/{user}/bridge/{name}/bridge_state", auth=Auth.USER)
@endpoint("POST", "/bridgebox/{user}/bridge/{name}/bridge_remote_state", auth=Auth.USER)
async def post_bridge_state(req: UserRequest, reporting: Reporting) -> Json:
    """The state of a login, or of the whole bridge."""
    reporter = reporting.reporter(req)
    await reporting.taker.record_state(reporter, req.json_object())
    return {}


@endpoint(
    "POST",
    "/bridgebox/{user}/bridge/{name}/send_message_metrics",
    auth=Auth.USER,
    max_body=_BODY_BYTES_MAX,
)
async def post_message_checkpoints(req: UserRequest, reporting: Reporting) -> Json:
    """How far messages have come."""
    reporter = reporting.reporter(req)
    await reporting.taker.record_checkpoints(reporter, req.json_object())
    return {}
