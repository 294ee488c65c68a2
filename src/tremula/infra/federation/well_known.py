"""Asks a host which server it delegates to (SS getWellKnown), and remembers."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

import structlog
from msgspec import Struct

from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.locks import KeyedLocks
from tremula.infra.outbound.endpoint import Limits, OutboundResponse
from tremula.infra.outbound.errors import OutboundError
from tremula.protocol.errors import InvalidParam, NotJson
from tremula.protocol.identifiers import ServerName, parse_server_name
from tremula.protocol.json import parse_json

_LIMITS: Final = Limits(bytes_max=50 * 1024, timeout_s=10, idle_s=5)
_REDIRECTS_MAX: Final = 5
_DEPTH_MAX: Final = 10

_MINUTE_S: Final = 60
_HOUR_S: Final = 60 * _MINUTE_S
# "The recommended sensible default is 24 hours", "48 hours is recommended" at most.
_LIFETIME_DEFAULT_S: Final = 24 * _HOUR_S
_LIFETIME_MAX_S: Final = 48 * _HOUR_S
# Whoever forbids caching is asked again soon, but not with each request.
_LIFETIME_MIN_S: Final = 5 * _MINUTE_S
# "Errors are recommended to be cached for up to an hour", backing off exponentially.
_ERROR_FIRST_S: Final = _MINUTE_S
_ERROR_MAX_S: Final = _HOUR_S

_CACHE_BYTES: Final = 8 * 1024 * 1024
_ENTRY_BYTES: Final = 400
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])(?i:max-age)\s*=\s*\"?([0-9]{1,10})")
_NO_CACHE: Final = re.compile(r"(?:^|[\s,])(?i:no-(?:store|cache))")

log = structlog.get_logger(__name__)


class Web(Protocol):
    """What fetches a page: `OutboundHttp`."""

    async def get(
        self, url: str, limits: Limits, *, redirects_max: int = 0
    ) -> OutboundResponse:
        """The page at *url*, after at most *redirects_max* redirects.

        Raises:
            OutboundError: there is none within *limits*.
        """
        ...


class _Known(Struct, frozen=True):
    """What a host said last; ``lifetime_s`` is what an error's backoff grows from."""

    delegate: ServerName | None
    expires_s: float
    lifetime_s: float


class WellKnown:
    """The delegations of other hosts, each asked for once in its time."""

    def __init__(self, web: Web, clock: Clock) -> None:
        self._web = web
        self._clock = clock
        self.cache: ByteLRU[str, _Known] = ByteLRU(_CACHE_BYTES)
        self._asking: KeyedLocks[str] = KeyedLocks()

    @property
    def remembered_count(self) -> int:
        """Of how many hosts an answer, or its absence, is remembered."""
        return len(self.cache)

    async def find_delegate(self, hostname: str) -> ServerName | None:
        """The server name in *hostname*'s well-known; None without a valid one."""
        async with self._asking.of(hostname):
            known = self.cache.get(hostname)
            if known is None or known.expires_s <= self._clock.monotonic_s():
                known = await self._ask(hostname, known)
                self.cache.put(hostname, known, _ENTRY_BYTES + len(hostname))
        return known.delegate

    async def _ask(self, hostname: str, before: _Known | None) -> _Known:
        try:
            response = await self._web.get(
                f"https://{hostname}/.well-known/matrix/server",
                _LIMITS,
                redirects_max=_REDIRECTS_MAX,
            )
            delegate = _parse(response)
        except (OutboundError, NotJson, InvalidParam) as error:
            log.info("well_known_absent", hostname=hostname, reason=str(error))
            return self._expiring(None, _next_backoff_s(before))
        lifetime_s = _lifetime_s(response.headers, self._clock.now_ms() / 1000)
        return self._expiring(delegate, lifetime_s)

    def _expiring(self, delegate: ServerName | None, lifetime_s: float) -> _Known:
        return _Known(delegate, self._clock.monotonic_s() + lifetime_s, lifetime_s)


def _parse(response: OutboundResponse) -> ServerName:
    """``m.server`` of a valid answer, whatever its Content-Type."""
    if response.status != 200:
        raise NotJson(f"status {response.status}")
    body = parse_json(response.body, depth_max=_DEPTH_MAX)
    return parse_server_name(body.get("m.server") if isinstance(body, dict) else None)


def _next_backoff_s(before: _Known | None) -> float:
    if before is None or before.delegate is not None:
        return _ERROR_FIRST_S
    return min(before.lifetime_s * 2, _ERROR_MAX_S)


def _lifetime_s(headers: Mapping[str, str], now_s: float) -> float:
    asked_for = _asked_lifetime_s(headers, now_s)
    if asked_for is None:
        return _LIFETIME_DEFAULT_S
    return min(max(asked_for, _LIFETIME_MIN_S), _LIFETIME_MAX_S)


def _asked_lifetime_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """What Cache-Control says, or Expires without it."""
    control = headers.get("cache-control", "")
    if _NO_CACHE.search(control):
        return 0
    if match := _MAX_AGE.search(control):
        return float(match[1])
    if "expires" not in headers:
        return None
    try:
        return parsedate_to_datetime(headers["expires"]).timestamp() - now_s
    except (ValueError, OverflowError):
        # "Expires: 0" and the like: "as already expired" (RFC 9111).
        return 0
