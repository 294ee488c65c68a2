"""What time it is in a cluster."""

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from structlog.testing import capture_logs

from tests.fakes.clock import FakeClock
from tremula.infra.cluster.cluster_clock import FOLLOWED_MS_MAX, ClusterClock
from tremula.infra.cluster.leases_storage import PostgresLeases
from tremula.infra.config.tree import PostgresUrl

MINUTES_MS = 7 * 60_000


def _clock(machine: FakeClock) -> ClusterClock:
    return ClusterClock(lambda: machine.now_ms() * 1_000_000)


def test_a_machine_that_is_kept_on_time_has_its_own_time() -> None:
    machine = FakeClock()
    clock = _clock(machine)

    with capture_logs() as logs:
        for difference_ms in (400, -400):
            clock.told(machine.now_ms() + difference_ms, asked_ms=clock.now_ms())

    assert clock.now_ms() == machine.now_ms()
    assert not logs


def test_a_machine_that_is_minutes_off_follows_the_database() -> None:
    for difference_ms in (MINUTES_MS, -MINUTES_MS):
        machine = FakeClock()
        clock = _clock(machine)

        with capture_logs() as logs:
            for _ in range(3):
                true_ms = machine.now_ms() + difference_ms
                clock.told(true_ms, asked_ms=clock.now_ms())
                assert clock.now_ms() == true_ms
                machine.advance_ms(1_000)

        [warning] = logs
        assert warning["seconds"] == difference_ms / 1000


def test_a_machine_that_is_put_right_has_its_own_time_again() -> None:
    machine = FakeClock()
    clock = _clock(machine)
    true_ms = machine.now_ms() + MINUTES_MS
    clock.told(true_ms, asked_ms=clock.now_ms())

    machine.advance_ms(MINUTES_MS)
    clock.told(true_ms, asked_ms=clock.now_ms())

    assert clock.now_ms() == machine.now_ms() == true_ms


def test_an_answer_that_took_long_says_little() -> None:
    """The database may have looked at its clock at the beginning, or at the end."""
    machine = FakeClock()
    clock = _clock(machine)
    asked_ms = clock.now_ms()

    machine.advance_ms(5_000)
    clock.told(asked_ms + 100, asked_ms=asked_ms)
    clock.told(asked_ms + 4_900, asked_ms=asked_ms)

    assert clock.now_ms() == machine.now_ms()


def test_a_database_that_is_hours_off_is_not_followed() -> None:
    machine = FakeClock()
    clock = _clock(machine)

    with capture_logs() as logs:
        wrong_ms = machine.now_ms() + FOLLOWED_MS_MAX + 1_000
        clock.told(wrong_ms, asked_ms=clock.now_ms())

    assert clock.now_ms() == machine.now_ms()
    assert not logs[0]["is_followed"]


async def test_heartbeats_tell_the_time(source: PostgresUrl) -> None:
    connection = await asyncpg.connect(source.url)
    text = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    machine = FakeClock(int(await connection.fetchval(text)) - MINUTES_MS)
    clock = _clock(machine)
    leases = PostgresLeases(source.url, clock)

    await leases.join("a", "here", "1")
    joined_ms = clock.now_ms()
    machine.epoch_ms -= MINUTES_MS
    await leases.beat("a", is_reachable=True)

    true_ms = int(await connection.fetchval(text))
    assert abs(true_ms - joined_ms) < MINUTES_MS / 2
    assert abs(true_ms - clock.now_ms()) < MINUTES_MS / 2
    await leases.close()
    await connection.close()
