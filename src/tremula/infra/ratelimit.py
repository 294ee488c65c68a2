"""Token buckets: how often one user or address may do a thing.

A bucket is one number: the time at which it will be full again (the generic cell rate
algorithm). A bucket that is full needs no memory.
"""

import math

from tremula.infra.clock import Clock
from tremula.infra.config import RateLimit, RateLimits
from tremula.protocol.errors import LimitExceeded

KEYS_MAX = 100_000


class Limit:
    """The buckets of one class of endpoints, by user ID or address."""

    __slots__ = ("_clock", "_full_at", "_interval_s", "_keys_max", "_slack_s")

    def __init__(
        self, limit: RateLimit, clock: Clock, *, keys_max: int = KEYS_MAX
    ) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._interval_s = 1 / limit.per_second
        self._slack_s = (limit.burst - 1) / limit.per_second
        # In the order of their last use: the first is the first to be forgotten.
        self._full_at: dict[str, float] = {}

    def check(self, key: str) -> None:
        """Take one token from the bucket of *key*.

        Raises:
            LimitExceeded: it is empty. Asking again does not make it emptier.
        """
        now = self._clock.monotonic_s()
        full_at = self._full_at.get(key, now)
        wait_s = full_at - now - self._slack_s
        if wait_s > 0:
            raise LimitExceeded(
                "too many requests", retry_after_ms=math.ceil(wait_s * 1000)
            )
        self._full_at.pop(key, None)
        self._full_at[key] = max(full_at, now) + self._interval_s
        if len(self._full_at) > self._keys_max:
            self._forget(now)

    @property
    def buckets(self) -> int:
        """How many buckets take memory."""
        return len(self._full_at)

    def _forget(self, now: float) -> None:
        """Drop the buckets that are full, and if need be those used longest ago.

        Leaves at most three quarters, so that the search is paid for by many calls.
        """
        self._full_at = {k: at for k, at in self._full_at.items() if at > now}
        excess = len(self._full_at) - self._keys_max * 3 // 4
        for key in list(self._full_at)[: max(excess, 0)]:
            del self._full_at[key]


class RateLimiter:
    """The limits of every class. A class that has none of its own gets the default's.

    Each class has buckets of its own all the same.
    """

    def __init__(self, limits: RateLimits, clock: Clock) -> None:
        self._limits = limits
        self._by_class = limits.by_class()
        self._clock = clock
        self._built: dict[str, Limit] = {}

    def limit(self, class_name: str) -> Limit | None:
        """The buckets of a class, for who checks them often; None: no limits here."""
        if not self._limits.enabled:
            return None
        built = self._built.get(class_name)
        if built is None:
            rate = self._by_class.get(class_name, self._limits.default)
            built = self._built[class_name] = Limit(rate, self._clock)
        return built

    def check(self, class_name: str, key: str) -> None:
        """Take one token from the bucket of *key* in a class.

        Raises:
            LimitExceeded: it is empty.
        """
        limit = self.limit(class_name)
        if limit is not None:
            limit.check(key)
