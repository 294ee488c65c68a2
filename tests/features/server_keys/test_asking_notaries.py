"""`KeyRing` where servers do not help: notaries."""

import asyncio

import pytest

from tests.fakes.key_servers import DAY_MS, key_of
from tests.features.server_keys.ring import ORIGIN, Setting
from tests.query_counter import counted
from tremula.features.server_keys import key_ring
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import OldKey

K1 = (ORIGIN, "ed25519:k1")


async def test_a_notary_helps_when_the_server_is_down(setting: Setting) -> None:
    server = setting.network.add(ORIGIN, 1)
    server.is_down = True
    notary = setting.network.add("notary.org", 9)
    notary.vouch(server.published())

    keys = await setting.ring("gone.org", "notary.org").verify_keys([setting.need()])

    assert keys[K1].public_key == key_of(1).public_key
    asked = {"ed25519:k1": {"minimum_valid_until_ts": setting.clock.now_ms()}}
    assert notary.queries == [{"server_keys": {ORIGIN: asked}}]


async def test_a_notary_is_not_asked_without_need(setting: Setting) -> None:
    setting.network.add(ORIGIN, 1)
    notary = setting.network.add("notary.org", 9)

    assert await setting.ring("notary.org").verify_keys([setting.need()])
    assert notary.requests == 0


async def test_a_notary_is_not_asked_for_longer_than_seven_days(
    setting: Setting,
) -> None:
    notary = setting.network.add("notary.org", 9)
    need = setting.need(after_ms=30 * DAY_MS)

    await setting.ring("notary.org").verify_keys([need])

    asked = notary.queries[0]["server_keys"][ORIGIN]["ed25519:k1"]
    assert asked == {"minimum_valid_until_ts": setting.clock.now_ms() + 7 * DAY_MS}


async def test_a_list_that_the_notary_has_not_signed_is_refused(
    setting: Setting,
) -> None:
    server = setting.network.add(ORIGIN, 1)
    server.is_down = True
    setting.network.add("notary.org", 9).vouches_for[ORIGIN] = server.published()

    assert not await setting.ring("notary.org").verify_keys([setting.need()])


async def test_a_list_that_only_the_notary_has_signed_is_refused(
    setting: Setting,
) -> None:
    """A notary vouches; it cannot make up the keys of others."""
    server = setting.network.add(ORIGIN, 1)
    server.is_down = True
    notary = setting.network.add("notary.org", 9)
    forged = server.published()
    forged["valid_until_ts"] += 1
    notary.vouch(forged)

    assert not await setting.ring("notary.org").verify_keys([setting.need()])


@pytest.mark.parametrize("answer", [[], {}, {"server_keys": {}}, {"server_keys": [7]}])
async def test_garbage_of_a_notary_is_no_answer(
    setting: Setting, answer: object
) -> None:
    notary = setting.network.add("notary.org", 9)
    ring = setting.ring("notary.org")
    await ring.verify_keys([setting.need("notary.org", "ed25519:k9")])
    notary.answer = answer

    assert await ring.verify_keys([setting.need()]) == {}


async def test_an_older_list_revives_no_key(setting: Setting) -> None:
    """A notary, or who broke into it, may repeat what was true once."""
    server = setting.network.add(ORIGIN, 1)
    notary = setting.network.add("notary.org", 9)
    notary.vouch(server.published())
    setting.clock.advance_ms(60_000)
    server.key = key_of(2)
    server.old = (OldKey("ed25519:k1", key_of(1).public_key, setting.clock.now_ms()),)
    ring = setting.ring("notary.org")
    assert await ring.verify_keys([setting.need(key_id="ed25519:k2")])
    setting.clock.advance_ms(60_000)
    server.is_down = True

    assert not await ring.verify_keys([setting.need()])
    assert len(notary.queries) == 1
    assert K1 in await ring.verify_keys([setting.need(after_ms=-60_000)])


async def test_notaries_that_ask_each_other_do_not_wait_for_ever(
    setting: Setting,
) -> None:
    """Both are down, and each is to vouch for the other."""
    setting.network.add("a.org", 1).is_down = True
    setting.network.add("b.org", 2).is_down = True
    ring = setting.ring("a.org", "b.org")
    needs = [setting.need("a.org"), setting.need("b.org", "ed25519:k2")]

    assert await ring.verify_keys(needs) == {}


# Many servers at once


def add_gone(setting: Setting, notary: str, *names: str) -> None:
    """Servers that are gone, for whom *notary* vouches."""
    for name in names:
        server = setting.network.add(name, 1)
        server.is_down = True
        setting.network.servers[ServerName(notary)].vouch(server.published())


async def test_a_notary_is_asked_for_all_at_once(setting: Setting) -> None:
    notary = setting.network.add("notary.org", 9)
    names = [f"s{number}.org" for number in range(20)]
    add_gone(setting, "notary.org", *names)
    setting.network.add(ORIGIN, 1)

    keys = await setting.ring("notary.org").verify_keys(
        [setting.need(name) for name in [*names, ORIGIN, "unknown.org"]]
    )

    assert {name for name, _ in keys} == {*names, ORIGIN}
    [query] = notary.queries
    assert query["server_keys"].keys() == {*names, "unknown.org"}


async def test_a_notary_comes_first_for_more_servers_than_are_asked_at_once(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many may be gone, and each of them would take ten seconds."""
    monkeypatch.setattr(key_ring, "_FETCHES_AT_ONCE", 4)
    setting.network.add("notary.org", 9)
    names = [f"s{number}.org" for number in range(5)]
    add_gone(setting, "notary.org", *names)
    alive = setting.network.add(ORIGIN, 1)

    keys = await setting.ring("notary.org").verify_keys(
        [setting.need(name) for name in [*names, ORIGIN]]
    )

    assert len(keys) == 6
    assert alive.requests == 1
    gone = [setting.network.servers[ServerName(name)] for name in names]
    assert [server.requests for server in gone] == [0] * 5


async def test_a_notary_is_asked_for_a_hundred_in_one_request(
    setting: Setting,
) -> None:
    notary = setting.network.add("notary.org", 9)

    await setting.ring("notary.org").verify_keys(
        [setting.need(f"s{number}.org") for number in range(250)]
    )

    asked = [len(query["server_keys"]) for query in notary.queries]
    assert sorted(asked) == [50, 100, 100]


async def test_one_bad_list_costs_no_other(setting: Setting) -> None:
    notary = setting.network.add("notary.org", 9)
    add_gone(setting, "notary.org", ORIGIN, "b.org")
    good, forged = notary.vouches_for[ORIGIN], notary.vouches_for[ServerName("b.org")]
    assert isinstance(forged, dict)
    bad = {**forged, "valid_until_ts": 1}
    stranger = setting.network.add("c.org", 3)
    notary.vouch(stranger.published())
    unasked = notary.vouches_for[ServerName("c.org")]
    ring = setting.ring("notary.org")
    await ring.verify_keys([setting.need("notary.org", "ed25519:k9")])
    notary.answer = {"server_keys": [7, bad, unasked, good]}

    keys = await ring.verify_keys([setting.need(), setting.need("b.org")])

    assert keys.keys() == {K1}
    stranger.is_down = True
    notary.answer = {"server_keys": []}
    assert not await ring.verify_keys([setting.need("c.org", "ed25519:k3")])


async def test_a_flood_of_lists_is_cut(setting: Setting) -> None:
    notary = setting.network.add("notary.org", 9)
    add_gone(setting, "notary.org", ORIGIN)
    good = notary.vouches_for[ORIGIN]
    ring = setting.ring("notary.org")
    await ring.verify_keys([setting.need("notary.org", "ed25519:k9")])
    notary.answer = {"server_keys": [{}] * 4 + [good]}

    assert await ring.verify_keys([setting.need()]) == {}


async def test_one_query_serves_all_who_need_it_at_once(setting: Setting) -> None:
    notary = setting.network.add("notary.org", 9)
    add_gone(setting, "notary.org", ORIGIN)
    setting.network.is_open.clear()
    ring = setting.ring("notary.org")

    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(ring.verify_keys([setting.need()])) for _ in range(20)
        ]
        await asyncio.sleep(0)
        setting.network.is_open.set()

    assert all(K1 in task.result() for task in waiting)
    assert len(notary.queries) == 1


async def test_whom_no_notary_knows_is_not_asked_for_again_at_once(
    setting: Setting,
) -> None:
    notary = setting.network.add("notary.org", 9)
    ring = setting.ring("notary.org")

    for _ in range(5):
        assert await ring.verify_keys([setting.need()]) == {}
    assert len(notary.queries) == 1
    setting.clock.advance_ms(5_000)
    await ring.verify_keys([setting.need()])
    assert len(notary.queries) == 2


async def test_a_notary_that_is_down_is_left_alone_for_a_while(
    setting: Setting,
) -> None:
    notary = setting.network.add("notary.org", 9)
    ring = setting.ring("notary.org")
    await ring.verify_keys([setting.need("notary.org", "ed25519:k9")])
    notary.is_down = True
    asked = notary.requests

    for number in range(5):
        await ring.verify_keys([setting.need(f"s{number}.org")])
    assert notary.requests == asked + 1
    setting.clock.advance_ms(5_000)
    notary.is_down = False
    for number in range(5, 10):
        await ring.verify_keys([setting.need(f"s{number}.org")])
    assert len(notary.queries) == 5


async def test_the_next_notary_is_asked_for_what_the_first_lacks(
    setting: Setting,
) -> None:
    one, two = setting.network.add("one.org", 8), setting.network.add("two.org", 9)
    add_gone(setting, "one.org", "a.org")
    add_gone(setting, "two.org", "b.org")

    keys = await setting.ring("one.org", "two.org").verify_keys(
        [setting.need("a.org"), setting.need("b.org")]
    )

    assert {name for name, _ in keys} == {"a.org", "b.org"}
    assert one.queries[0]["server_keys"].keys() == {"a.org", "b.org"}
    assert two.queries[0]["server_keys"].keys() == {"b.org"}


async def test_what_notaries_say_is_stored_at_once(setting: Setting) -> None:
    """And not a transaction a server."""
    setting.network.add("notary.org", 9)
    names = [f"s{number}.org" for number in range(20)]
    add_gone(setting, "notary.org", *names)
    ring = setting.ring("notary.org")
    await ring.verify_keys([setting.need("notary.org", "ed25519:k9")])

    with counted(setting.database) as queries:
        keys = await ring.verify_keys([setting.need(name) for name in names])

    assert len(keys) == 20
    assert len(queries.units) == 1
    assert len(queries.reads) < 10
