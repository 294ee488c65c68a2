"""Requests to push gateways (Push Gateway API, ``notify``)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.pushers.metrics import PushMetrics
from tremula.infra.outbound.endpoint import HttpUrl, Limits, OutboundRequest
from tremula.infra.outbound.errors import OutboundError
from tremula.infra.outbound.web import Web

_LIMITS: Final = Limits(bytes_max=65_536, timeout_s=20)
_HEADERS: Final = {"Content-Type": "application/json"}


class GatewayFailed(Exception):
    """A push gateway did not take a notification; the message says why."""


class PushGateways(Struct, frozen=True):
    """Tells push gateways what they are to notify devices of."""

    web: Web
    metrics: PushMetrics

    async def notify(self, url: str, notification: Mapping[str, Any]) -> Sequence[str]:
        """Hand over *notification*; returns the pushkeys that are not to be used again.

        Raises:
            GatewayFailed: it was not taken.
        """
        try:
            rejected = await self._post(url, notification)
        except GatewayFailed:
            self.metrics.request("failed")
            raise
        self.metrics.request("rejected" if rejected else "delivered")
        return rejected

    async def _post(self, url: str, notification: Mapping[str, Any]) -> Sequence[str]:
        parsed = HttpUrl.parse(url)
        body = orjson.dumps({"notification": notification})
        request = OutboundRequest("POST", parsed.uri, _HEADERS, body)
        try:
            response = await self.web.request(parsed.endpoint, request, _LIMITS)
        except OutboundError as error:
            raise GatewayFailed(str(error)) from error
        if response.status != 200:
            raise GatewayFailed(f"status {response.status}")
        return _rejected(response.body)


def _rejected(body: bytes) -> list[str]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GatewayFailed("the answer is no JSON") from error
    rejected = answer.get("rejected") if isinstance(answer, dict) else None
    if not isinstance(rejected, list):
        return []
    return [pushkey for pushkey in rejected if isinstance(pushkey, str)]
