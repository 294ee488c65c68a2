"""What devices upload: what is taken, what is refused, and what `/sync` says of it."""

from typing import Any

import pytest

from tests.backends import table_of_refusals
from tests.features.one_time_keys.keys import (
    ALICE,
    BOB,
    DEVICE,
    SIGNED,
    add,
    claim,
    service_of,
    signed_key,
    signed_keys,
    status,
    upload,
    upload_fallback,
)
from tests.http_client import Client
from tests.server import Server
from tremula.features.one_time_keys.service import OneTimeKeys
from tremula.protocol.errors import BadJson, InvalidParam, MatrixError
from tremula.protocol.identifiers import DeviceId


@pytest.fixture
def keys(server: Server, alice: Client) -> OneTimeKeys:
    return service_of(server.app)


async def test_keys_are_counted_by_algorithm(keys: OneTimeKeys) -> None:
    await add(keys, ALICE, DEVICE, {**signed_keys(1, 2), "x.other:1": {"a": 1}}, {})

    assert await keys.counts(ALICE, DEVICE) == {SIGNED: 2, "x.other": 1}
    assert await keys.counts(ALICE, DeviceId("OTHER")) == {}


async def test_keys_are_given_out_as_they_came_whatever_is_in_them(
    server: Server, keys: OneTimeKeys
) -> None:
    odd = '"\\\u2028\U0001f511 {[:'
    content = signed_key(1)
    content["signatures"][ALICE][f"ed25519:{DEVICE}"] = odd
    key = {f"{SIGNED}:{odd}": content}
    await add(keys, ALICE, DEVICE, key, {})

    assert await claim(server.client(BOB)) == key


async def test_the_same_upload_again_changes_nothing(keys: OneTimeKeys) -> None:
    for _ in range(2):
        await add(keys, ALICE, DEVICE, signed_keys(1, 2), {})
    await add(keys, ALICE, DEVICE, signed_keys(2, 3), {})

    assert await keys.counts(ALICE, DEVICE) == {SIGNED: 3}


async def test_another_key_of_the_same_id_is_refused(
    server: Server, keys: OneTimeKeys
) -> None:
    await add(keys, ALICE, DEVICE, signed_keys(1), {})
    upload = {f"{SIGNED}:0001": signed_key(2), **signed_keys(3)}
    with pytest.raises(InvalidParam):
        await add(keys, ALICE, DEVICE, upload, {})

    # All or nothing.
    assert await keys.counts(ALICE, DEVICE) == {SIGNED: 1}
    assert await claim(server.client(BOB)) == signed_keys(1)


async def test_an_upload_that_is_repeated_brings_no_claimed_key_back(
    server: Server, keys: OneTimeKeys
) -> None:
    """Its answer was lost, or the server was killed before it answered."""
    bob = server.client(BOB)
    await add(keys, ALICE, DEVICE, signed_keys(1, 2, 3), {})
    assert await claim(bob) == signed_keys(1)
    await add(keys, ALICE, DEVICE, signed_keys(1, 2, 3), {})

    assert await keys.counts(ALICE, DEVICE) == {SIGNED: 2}
    assert [await claim(bob) for _ in range(3)] == [signed_keys(2), signed_keys(3), {}]


async def test_the_name_of_a_claimed_key_may_be_used_again(
    server: Server, keys: OneTimeKeys
) -> None:
    bob = server.client(BOB)
    await add(keys, ALICE, DEVICE, signed_keys(1), {})
    assert await claim(bob) == signed_keys(1)
    other = {f"{SIGNED}:0001": signed_key(2)}
    await add(keys, ALICE, DEVICE, other, {})

    assert await claim(bob) == other


async def test_claimed_keys_are_forgotten_with_the_second_upload_after(
    server: Server, keys: OneTimeKeys
) -> None:
    bob = server.client(BOB)
    await add(keys, ALICE, DEVICE, signed_keys(1), {})
    await add(keys, ALICE, DEVICE, signed_keys(2), {})
    assert [await claim(bob) for _ in range(2)] == [signed_keys(1), signed_keys(2)]
    await add(keys, ALICE, DEVICE, signed_keys(3), {})
    between = await server.db.all("SELECT upload FROM one_time_keys ORDER BY upload")
    await add(keys, ALICE, DEVICE, signed_keys(4), {})

    # The upload before the last may be repeated until there is another one.
    assert between == [(2,), (3,)]
    rows = await server.db.all("SELECT upload FROM one_time_keys ORDER BY upload")
    assert rows == [(3,), (4,)]


async def test_keys_of_one_id_and_two_algorithms_are_two(keys: OneTimeKeys) -> None:
    await add(keys, ALICE, DEVICE, {"x.a:1": "one", "x.b:1": "other"}, {})

    assert await keys.counts(ALICE, DEVICE) == {"x.a": 1, "x.b": 1}


@table_of_refusals
@pytest.mark.parametrize(
    "upload",
    [
        {f"{SIGNED}:1": "AAAA"},
        {f"{SIGNED}:1": {**signed_key(1), "key": "short"}},
        {f"{SIGNED}:1": {**signed_key(1), "key": 1}},
        {f"{SIGNED}:1": {**signed_key(1), "key": "?" * 43}},
        {f"{SIGNED}:1": signed_key(1, device_id="OTHER")},
        {f"{SIGNED}:1": signed_key(1, user_id=BOB)},
        {f"{SIGNED}:1": {**signed_key(1), "signatures": []}},
        {f"{SIGNED}:1": {**signed_key(1), "signatures": {ALICE: None}}},
        {f"{SIGNED}:1": signed_key(1, more="x" * 5000)},
        {f"{SIGNED}:1": signed_key(1, more=1.5)},
        {"curve25519:1": {"key": "AAAA"}},
        {"curve25519:1": "AAAA"},
        {SIGNED: signed_key(1)},
        {f"{SIGNED}:": signed_key(1)},
        {":1": "AAAA"},
        {"x.other:\0": "AAAA"},
        {"x.other:" + "1" * 255: "AAAA"},
        {"x.other:1": 1},
        {"x.other:1": None},
        {f"x.other:{number}": "AAAA" for number in range(501)},
    ],
)
async def test_a_malformed_key_is_refused(
    keys: OneTimeKeys, upload: dict[str, Any]
) -> None:
    for one_time, fallback in ((upload, {}), ({}, upload)):
        with pytest.raises(MatrixError) as refusal:
            await add(keys, ALICE, DEVICE, one_time, fallback)
        assert isinstance(refusal.value, InvalidParam | BadJson)

    assert await keys.counts(ALICE, DEVICE) == {}
    assert await keys.unused_fallback_types(ALICE, DEVICE) == []


async def test_a_device_has_at_most_2000_keys(keys: OneTimeKeys) -> None:
    for start in range(0, 2000, 500):
        await add(keys, ALICE, DEVICE, signed_keys(*range(start, start + 500)), {})
    with pytest.raises(InvalidParam):
        await add(keys, ALICE, DEVICE, signed_keys(2000), {})

    assert await keys.counts(ALICE, DEVICE) == {SIGNED: 2000}


async def test_there_is_one_fallback_key_an_algorithm(
    server: Server, keys: OneTimeKeys
) -> None:
    await upload_fallback(server, 1)
    await upload_fallback(server, 2)

    assert list(await claim(server.client(BOB))) == [f"{SIGNED}:f2"]
    two = {f"{SIGNED}:{name}": signed_key(3, fallback=True) for name in "ab"}
    with pytest.raises(InvalidParam):
        await add(keys, ALICE, DEVICE, {}, two)


async def test_sync_tells_how_many_keys_are_left(server: Server, alice: Client) -> None:
    assert await status(alice) == ({SIGNED: 0}, [])
    await upload(server, 1, 2)
    assert await status(alice) == ({SIGNED: 2}, [])
    await claim(server.client(BOB))
    assert await status(alice) == ({SIGNED: 1}, [])


async def test_sync_tells_which_fallback_keys_are_unused(
    server: Server, alice: Client
) -> None:
    await upload_fallback(server, 1)
    assert await status(alice) == ({SIGNED: 0}, [SIGNED])
    await claim(server.client(BOB))
    assert await status(alice) == ({SIGNED: 0}, [])
    # The same once more is as used as it was.
    await upload_fallback(server, 1)
    assert await status(alice) == ({SIGNED: 0}, [])
    await upload_fallback(server, 2)
    assert await status(alice) == ({SIGNED: 0}, [SIGNED])


async def test_an_answer_without_news_tells_it_too(
    server: Server, alice: Client
) -> None:
    await upload(server, 1)
    since = (await alice.get("/v3/sync")).json["next_batch"]
    answer = (await alice.get(f"/v3/sync?since={since}")).json

    assert answer["device_one_time_keys_count"] == {SIGNED: 1}
    assert answer["device_unused_fallback_key_types"] == []
