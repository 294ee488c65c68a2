"""Token buckets, with a clock that stands still."""

import pytest

from tests.fakes.clock import FakeClock
from tremula.infra.config import RateLimit, RateLimits
from tremula.infra.ratelimit import Limit, RateLimiter
from tremula.protocol.errors import LimitExceeded


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def allowed(limit: Limit, key: str) -> int:
    """How many tokens the bucket of *key* has; takes them all."""
    for taken in range(1000):
        try:
            limit.check(key)
        except LimitExceeded:
            return taken
    raise AssertionError("there is no limit")


def test_a_full_bucket_holds_the_burst(clock: FakeClock) -> None:
    limit = Limit(RateLimit(per_second=2, burst=5), clock)

    assert allowed(limit, "@a:test") == 5


def test_a_burst_of_one_is_one(clock: FakeClock) -> None:
    assert allowed(Limit(RateLimit(per_second=1, burst=1), clock), "@a:test") == 1


def test_each_key_has_a_bucket_of_its_own(clock: FakeClock) -> None:
    limit = Limit(RateLimit(per_second=2, burst=5), clock)
    allowed(limit, "@a:test")

    assert allowed(limit, "@b:test") == 5


@pytest.mark.parametrize(
    ("wait_ms", "tokens"), [(499, 0), (500, 1), (1000, 2), (9000, 5)]
)
def test_a_bucket_fills_with_time(clock: FakeClock, wait_ms: int, tokens: int) -> None:
    limit = Limit(RateLimit(per_second=2, burst=5), clock)
    allowed(limit, "@a:test")

    clock.advance_ms(wait_ms)

    assert allowed(limit, "@a:test") == tokens


def test_an_empty_bucket_says_when_it_has_a_token(clock: FakeClock) -> None:
    limit = Limit(RateLimit(per_second=0.1, burst=2), clock)
    allowed(limit, "@a:test")
    clock.advance_ms(4000)

    with pytest.raises(LimitExceeded) as refused:
        limit.check("@a:test")

    assert refused.value.retry_after_ms == 6000


def test_asking_again_does_not_make_it_emptier(clock: FakeClock) -> None:
    limit = Limit(RateLimit(per_second=1, burst=1), clock)
    for _ in range(5):
        allowed(limit, "@a:test")

    clock.advance_ms(1000)

    assert allowed(limit, "@a:test") == 1


def test_only_so_many_buckets_are_kept(clock: FakeClock) -> None:
    """Those used longest ago go first; the newest still count."""
    limit = Limit(RateLimit(per_second=0.001, burst=1), clock, keys_max=100)
    for number in range(1000):
        limit.check(f"@user{number}:test")

    assert limit.buckets <= 100
    assert allowed(limit, "@user999:test") == 0


def test_full_buckets_are_forgotten_before_others(clock: FakeClock) -> None:
    limit = Limit(RateLimit(per_second=1, burst=5), clock, keys_max=10)
    for _ in range(5):
        limit.check("@busy:test")
    for number in range(9):
        limit.check(f"@user{number}:test")
    clock.advance_ms(2000)

    limit.check("@last:test")

    assert limit.buckets == 2
    assert allowed(limit, "@busy:test") == 2


def test_each_class_has_buckets_of_its_own(clock: FakeClock) -> None:
    rate = RateLimit(per_second=1, burst=1)
    limiter = RateLimiter(RateLimits(message=rate, default=rate), clock)
    limiter.check("message", "@a:test")
    limiter.check("search", "@a:test")
    limiter.check("default", "@a:test")

    for class_name in ("message", "search", "default"):
        with pytest.raises(LimitExceeded):
            limiter.check(class_name, "@a:test")


def test_limits_can_be_switched_off(clock: FakeClock) -> None:
    rate = RateLimit(per_second=1, burst=1)
    limiter = RateLimiter(RateLimits(enabled=False, message=rate), clock)

    for _ in range(100):
        limiter.check("message", "@a:test")
    assert limiter.limit("message") is None
