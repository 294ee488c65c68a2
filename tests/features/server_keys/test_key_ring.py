"""`KeyRing`: fetching keys once, and knowing for how long they count."""

import asyncio

import pytest

from tests.fakes.key_servers import DAY_MS, key_of
from tests.features.server_keys.ring import ORIGIN, OWN, Setting
from tests.protocol.test_server_keys import ESS_SEED
from tremula.features.server_keys import storage
from tremula.infra.db import Statements
from tremula.infra.federation.peers import Peers
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import OldKey, VerifyKey
from tremula.protocol.signing import SigningKey

K1 = (ORIGIN, "ed25519:k1")


async def test_a_key_is_fetched_from_its_server(setting: Setting) -> None:
    setting.network.add(ORIGIN, 1)

    keys = await setting.ring().verify_keys([setting.need()])

    until = setting.clock.now_ms() + DAY_MS
    assert keys == {K1: VerifyKey(key_of(1).public_key, until)}


async def test_a_key_is_fetched_once(setting: Setting) -> None:
    """Another key ring, after a restart say, finds it in the database."""
    server = setting.network.add(ORIGIN, 1)
    ring = setting.ring()

    for each in (ring, ring, setting.ring()):
        assert K1 in await each.verify_keys([setting.need()])
    assert server.requests == 1


async def test_one_fetch_serves_all_who_need_it_at_once(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    setting.network.is_open.clear()
    ring = setting.ring()

    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(ring.verify_keys([setting.need()])) for _ in range(20)
        ]
        await asyncio.sleep(0)
        setting.network.is_open.set()

    assert all(K1 in task.result() for task in waiting)
    assert server.requests == 1


async def test_several_servers_are_asked_at_once(setting: Setting) -> None:
    """The network holds all requests back until the last one has come."""
    names = [f"s{number}.org" for number in range(1, 31)]
    for number, name in enumerate(names, start=1):
        setting.network.add(name, number)
    needs = [setting.need(name, f"ed25519:k{n}") for n, name in enumerate(names, 1)]

    keys = await setting.ring().verify_keys([*needs, setting.need("dead.org")])

    assert len(keys) == 30


async def test_keys_of_many_servers_are_read_in_one_go(setting: Setting) -> None:
    names = [ServerName(f"s{number}.org") for number in range(1_001)]
    unit = Statements()
    for name in names:
        key = VerifyKey(key_of(1).public_key, setting.clock.now_ms())
        storage.upsert_verify_keys(unit, name, {"ed25519:k1": key})
    await setting.database.commit(unit)

    keys = await setting.ring().verify_keys([setting.need(name) for name in names])

    assert len(keys) == 1_001


async def test_own_keys_are_known_without_asking(setting: Setting) -> None:
    need = setting.need(OWN, setting.own.current.key_id)

    keys = await setting.ring().verify_keys([need, setting.need(OWN, "ed25519:no")])

    assert [key.public_key for key in keys.values()] == [setting.own.current.public_key]


# Validity


async def test_a_key_is_fetched_again_when_it_has_expired(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    ring = setting.ring()
    await ring.verify_keys([setting.need()])
    setting.clock.advance_ms(DAY_MS + 1)

    assert K1 in await ring.verify_keys([setting.need()])
    assert server.requests == 2


async def test_an_expired_key_does_not_meet_a_strict_need(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    ring = setting.ring()
    await ring.verify_keys([setting.need()])
    server.is_down = True
    setting.clock.advance_ms(DAY_MS + 1)

    assert await ring.verify_keys([setting.need()]) == {}
    assert K1 in await ring.verify_keys([setting.need(after_ms=-1)])
    assert K1 in await ring.verify_keys([setting.need(strict=False)])


async def test_no_key_is_trusted_for_more_than_seven_days(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    server.answer = server.published(valid_for_ms=365 * DAY_MS)
    ring = setting.ring()
    await ring.verify_keys([setting.need()])
    server.is_down = True

    setting.clock.advance_ms(7 * DAY_MS)
    assert K1 in await ring.verify_keys([setting.need()])
    setting.clock.advance_ms(1)
    assert await ring.verify_keys([setting.need()]) == {}


async def test_an_event_from_the_far_future_has_no_valid_key(setting: Setting) -> None:
    setting.network.add(ORIGIN, 1)

    assert not await setting.ring().verify_keys([setting.need(after_ms=30 * DAY_MS)])


async def test_old_keys_count_until_they_expired(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 2)
    expired_ts = setting.clock.now_ms() - DAY_MS
    server.old = (OldKey("ed25519:k1", key_of(1).public_key, expired_ts),)
    ring = setting.ring()

    assert K1 in await ring.verify_keys([setting.need(after_ms=-DAY_MS)])
    assert not await ring.verify_keys([setting.need(after_ms=-DAY_MS + 1)])
    assert not await ring.verify_keys([setting.need()])


async def test_a_key_that_is_listed_no_more_is_kept(setting: Setting) -> None:
    """Nobody else could check the events that it has signed."""
    server = setting.network.add(ORIGIN, 1)
    ring = setting.ring()
    await ring.verify_keys([setting.need()])
    signed_at = -2 * DAY_MS
    server.key = key_of(2)
    setting.clock.advance_ms(2 * DAY_MS)

    assert await ring.verify_keys([setting.need(key_id="ed25519:k2")])
    assert K1 in await ring.verify_keys([setting.need(after_ms=signed_at)])


async def test_a_key_that_becomes_old_ends_early(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    ring = setting.ring()
    await ring.verify_keys([setting.need()])
    server.key = key_of(2)
    server.old = (OldKey("ed25519:k1", key_of(1).public_key, setting.clock.now_ms()),)
    setting.clock.advance_ms(60_000)

    assert await ring.verify_keys([setting.need(key_id="ed25519:k2")])
    assert not await ring.verify_keys([setting.need()])
    assert K1 in await ring.verify_keys([setting.need(after_ms=-60_000)])


# Servers that do not help


async def test_a_server_that_is_down_is_left_alone_for_a_while(
    setting: Setting,
) -> None:
    """Longer each time, ten minutes at most."""
    server = setting.network.add(ORIGIN, 1)
    server.is_down = True
    ring = setting.ring()
    pauses = []
    for _ in range(10):
        asked, waited_s = server.requests, 0
        while server.requests == asked:
            await ring.verify_keys([setting.need()])
            setting.clock.advance_ms(5_000)
            waited_s += 5
        pauses.append(waited_s)

    assert pauses == [5, 5, 10, 20, 40, 80, 160, 320, 600, 600]


async def test_an_answer_ends_the_pauses(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    server.is_down = True
    ring = setting.ring()
    for _ in range(3):
        await ring.verify_keys([setting.need()])
        setting.clock.advance_ms(60_000)
    server.is_down = False
    assert await ring.verify_keys([setting.need()])
    server.is_down = True
    setting.clock.advance_ms(2 * DAY_MS)
    asked = server.requests
    await ring.verify_keys([setting.need()])
    setting.clock.advance_ms(5_000)

    await ring.verify_keys([setting.need()])

    assert server.requests == asked + 2


async def test_unknown_key_ids_are_not_a_request_each(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    ring = setting.ring()

    for number in range(2, 100):
        assert not await ring.verify_keys([setting.need(key_id=f"ed25519:k{number}")])
    assert server.requests == 1
    setting.clock.advance_ms(60_000)
    await ring.verify_keys([setting.need(key_id="ed25519:k2")])
    assert server.requests == 2


@pytest.mark.parametrize("answer", [[], 7, {}, {"server_keys": []}, "x"])
async def test_garbage_is_no_answer(setting: Setting, answer: object) -> None:
    setting.network.add(ORIGIN, 1).answer = answer

    assert await setting.ring().verify_keys([setting.need()]) == {}


async def test_a_list_of_another_server_is_no_answer(setting: Setting) -> None:
    setting.network.add(ORIGIN, 1).answer = setting.network.add("b.org", 2).published()

    needs = [setting.need(), setting.need("b.org", "ed25519:k2")]
    setting.network.servers[ServerName("b.org")].is_down = True
    assert await setting.ring().verify_keys(needs) == {}


async def test_a_server_that_makes_up_keys_all_day_is_not_stored(
    setting: Setting,
) -> None:
    """Each list is within the limit of size; all together are not."""
    server = setting.network.add(ORIGIN, 1)
    ring = setting.ring()
    for day in range(3):
        server.old = tuple(
            OldKey(f"ed25519:d{day}_{number}", key_of(2).public_key, 5)
            for number in range(400)
        )
        await ring.verify_keys([setting.need(after_ms=5 * DAY_MS)])
        setting.clock.advance_ms(DAY_MS)

    [stored] = (await storage.verify_keys_of(setting.database, [ORIGIN])).values()
    assert len(stored) == 801


async def test_cve_2026_24044_an_insecure_key_is_refused(setting: Setting) -> None:
    insecure = SigningKey.from_seed("ed25519:k1", ESS_SEED)
    setting.network.add(ORIGIN, 1).key = insecure

    assert await setting.ring().verify_keys([setting.need(strict=False)]) == {}


async def test_cve_2026_24044_a_stored_insecure_key_is_refused(
    setting: Setting,
) -> None:
    """It was stored before it was known to be insecure."""
    insecure = SigningKey.from_seed("ed25519:k1", ESS_SEED)
    unit = Statements()
    key = VerifyKey(insecure.public_key, setting.clock.now_ms() + DAY_MS)
    storage.upsert_verify_keys(unit, ORIGIN, {"ed25519:k1": key})
    await setting.database.commit(unit)

    assert await setting.ring().verify_keys([setting.need(strict=False)]) == {}


async def test_a_denied_server_is_not_asked(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    setting.peers = Peers(OWN, denied=frozenset({ORIGIN}))

    assert await setting.ring().verify_keys([setting.need()]) == {}
    assert server.requests == 0
