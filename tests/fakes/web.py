"""Pages that the test wrote."""

from dataclasses import dataclass, field

from tremula.infra.outbound.endpoint import Limits, OutboundResponse
from tremula.infra.outbound.errors import ConnectFailed, OutboundError


@dataclass(slots=True)
class FakeWeb:
    """Implements ``Web``. What has no page can't be connected to."""

    pages: dict[str, OutboundResponse | OutboundError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def put(self, url: str, body: bytes, status: int = 200, **headers: str) -> None:
        """Let *url* answer this; ``cache_control`` is the header Cache-Control."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[url] = OutboundResponse(status, named, body)

    async def get(
        self, url: str, limits: Limits, *, redirects_max: int = 0
    ) -> OutboundResponse:
        """What the test wrote for *url*."""
        self.asked.append(url)
        page = self.pages.get(url, ConnectFailed("refused"))
        if isinstance(page, OutboundError):
            raise page
        return page
