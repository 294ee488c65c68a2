"""Builds what calls need of the server."""

from tremula.assembly.base import Base
from tremula.features.voip import routes as voip_routes
from tremula.features.voip.service import Voip, livekit_transports


def add_calls(base: Base) -> None:
    """TURN, and the transports of MatrixRTC."""
    transports = livekit_transports(base.config.rtc.livekit_service_urls)
    base.router.add(voip_routes, Voip(base.clock, base.config.turn, transports))
