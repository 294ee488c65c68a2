"""What is asked of servers that are no homeservers."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from tremula.infra.outbound.endpoint import (
    Endpoint,
    FollowedResponse,
    Limits,
    OutboundRequest,
    OutboundResponse,
)


class Web(Protocol):
    """`OutboundHttp`, or what tests have in its place. All raise `OutboundError`."""

    async def request(
        self, endpoint: Endpoint, request: OutboundRequest, limits: Limits
    ) -> OutboundResponse:
        """Make one request and read the whole answer; redirects are not followed."""
        ...

    def follow(
        self,
        url: str,
        limits: Limits,
        *,
        redirects_max: int = 0,
        headers: Mapping[str, str] | None = None,
        permits: Callable[[str], bool] = lambda _: True,
    ) -> AbstractAsyncContextManager[FollowedResponse]:
        """GET *url*, follow redirects, and read the answer piece by piece.

        Nothing is asked for that *permits* refuses.
        """
        ...
