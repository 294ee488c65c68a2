"""CS uploadKeys: one-time keys beside, or after, the keys of their device."""

import json
from typing import Any

import orjson
import pytest

from tests.device_keys import CryptoDevice
from tests.features.one_time_keys.keys import (
    ALICE,
    BOB,
    DEVICE,
    SIGNED,
    claim,
    signed_keys,
)
from tests.http_client import Client, HttpResponse
from tests.query_counter import Queries, counted
from tests.server import Server
from tremula.infra.db import Engine
from tremula.protocol.base64 import encode_base64

PHONE = CryptoDevice(ALICE, DEVICE)
# As after a client has lost its memory: the same device ID, another key.
REBORN = CryptoDevice(ALICE, DEVICE, generation="second")


def keys_of(device: CryptoDevice, *numbers: int, **more: object) -> dict[str, Any]:
    return {
        f"{SIGNED}:{number:04}": device.sign(
            {"key": encode_base64(number.to_bytes(32, "big")), **more}
        )
        for number in numbers
    }


async def upload(client: Client, **body: object) -> HttpResponse:
    return await client.post("/v3/keys/upload", body)


def units_of(queries: Queries) -> list[list[str]]:
    """The statements of each unit that is about one-time keys."""
    units = [[each.sql for each in unit.statements] for unit in queries.units]
    return [texts for texts in units if "one_time_keys" in "".join(texts)]


def reads_of(queries: Queries) -> list[str]:
    """The tables that were read, of those that may be."""
    tables = ("device_lists_changes", "device_keys", "one_time_keys")
    return [name for text in queries.reads for name in tables if f" {name}" in text]


@pytest.mark.one_process("counts what one process asks of its database")
async def test_an_upload_is_one_unit_and_so_is_a_claim(
    server: Server, alice: Client
) -> None:
    bob = server.client(BOB)
    await bob.get("/v3/account/whoami")
    body = {"device_keys": PHONE.keys(), "one_time_keys": keys_of(PHONE, *range(50))}

    with counted(server.db) as first:
        await upload(alice, **body)
    with counted(server.db) as later:
        answer = await upload(alice, one_time_keys=keys_of(PHONE, *range(40, 60)))
    with counted(server.db) as claiming:
        claimed = await claim(bob)

    assert answer.json == {"one_time_key_counts": {SIGNED: 60}}
    assert claimed == keys_of(PHONE, 0)
    [texts] = units_of(first)
    assert "UPDATE device_keys" in "".join(texts)
    assert sum("INSERT INTO one_time_keys" in text for text in texts) == 1
    assert reads_of(first) == ["device_keys"]
    assert len(units_of(later)) == 1
    # The device's key, what one-time keys it has, and those of these IDs.
    assert reads_of(later) == ["device_keys", "one_time_keys", "one_time_keys"]
    [[text]] = units_of(claiming)
    assert "UPDATE one_time_keys" in text
    assert reads_of(claiming) == []


async def test_on_sqlite_keys_lie_in_as_few_rows_as_fill_pages(
    server: Server, alice: Client
) -> None:
    """50 keys have some 10 KB, and a row is to be within a page of 4 KB."""
    await upload(
        alice, device_keys=PHONE.keys(), one_time_keys=keys_of(PHONE, *range(50))
    )

    rows = await server.db.all("SELECT total, LENGTH(contents) FROM one_time_keys")

    if server.db.engine is Engine.SQLITE:
        assert [total for total, _ in rows] == [17, 17, 16]
        assert all(size_bytes < 3_900 for _, size_bytes in rows)
    else:
        assert len(rows) == 50


async def test_keys_that_come_later_are_counted_with_the_others(alice: Client) -> None:
    await upload(alice, device_keys=PHONE.keys(), one_time_keys=keys_of(PHONE, 1, 2))

    same = await upload(alice, one_time_keys=keys_of(PHONE, 2))
    more = await upload(alice, one_time_keys=keys_of(PHONE, 2, 3))
    none = await upload(alice)

    counts = [each.json["one_time_key_counts"][SIGNED] for each in (same, more, none)]
    assert counts == [2, 3, 3]


@pytest.mark.parametrize(
    "keys",
    [
        {"one_time_keys": keys_of(REBORN, 1)},
        {"one_time_keys": keys_of(REBORN, *range(10))},
        {"fallback_keys": keys_of(REBORN, 1, fallback=True)},
    ],
)
async def test_keys_that_another_key_has_signed_are_refused(
    alice: Client, keys: dict[str, Any]
) -> None:
    await upload(alice, device_keys=PHONE.keys())

    refused = await upload(alice, **keys)

    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_SIGNATURE")
    assert (await upload(alice)).json == {"one_time_key_counts": {}}


async def test_keys_of_a_device_count_though_its_one_time_keys_do_not(
    alice: Client,
) -> None:
    refused = await upload(
        alice, device_keys=PHONE.keys(), one_time_keys=keys_of(REBORN, 1)
    )
    query = await alice.post("/v3/keys/query", {"device_keys": {ALICE: []}})

    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_SIGNATURE")
    assert query.json["device_keys"][ALICE][DEVICE]["keys"] == PHONE.keys()["keys"]


async def test_a_device_that_is_another_one_begins_anew(alice: Client) -> None:
    await upload(alice, device_keys=PHONE.keys(), one_time_keys=keys_of(PHONE, 1, 2))

    answer = await upload(
        alice, device_keys=REBORN.keys(), one_time_keys=keys_of(REBORN, 1)
    )

    assert answer.json == {"one_time_key_counts": {SIGNED: 1}}


async def test_without_keys_of_the_device_nothing_can_be_verified(
    alice: Client,
) -> None:
    answer = await upload(alice, one_time_keys=signed_keys(1))

    assert answer.json == {"one_time_key_counts": {SIGNED: 1}}


async def test_the_same_keys_in_other_json_are_the_same(alice: Client) -> None:
    body = {"device_keys": PHONE.keys(), "one_time_keys": keys_of(PHONE, 1, 2)}
    await upload(alice, **body)

    spaced = json.dumps({**body, "org.example.unknown": [None], "fallback_keys": {}})
    answer = await alice.post("/v3/keys/upload", body=spaced.encode())

    assert (answer.status, answer.json) == (200, {"one_time_key_counts": {SIGNED: 2}})


@pytest.mark.parametrize(
    ("errcode", "old", "new"),
    [
        ("M_NOT_JSON", b"}}", b"}"),
        ("M_NOT_JSON", b"}}", b"}}}"),
        # A name comes twice: of a key, within a key, in the body.
        ("M_NOT_JSON", b':0002":', b':0001":'),
        ("M_NOT_JSON", b'{"key":', b'{"key":"","key":'),
        ("M_NOT_JSON", b'{"one', b'{"one_time_keys":{},"one'),
        ("M_NOT_JSON", b":0001", b":\xff"),
        ("M_BAD_JSON", b"signed_curve25519:0001", b"x:\\u0000"),
        ("M_BAD_JSON", b'{"key"', b'{"aaa":"\\u0000","key"'),
        ("M_BAD_JSON", b'{"key"', b'{"aaa":1.0,"key"'),
        ("M_BAD_JSON", b'{"one_time_keys"', b'{"fallback_keys":[],"one_time_keys"'),
    ],
)
async def test_what_is_not_strict_json_is_refused_as_everywhere(
    alice: Client, errcode: str, old: bytes, new: bytes
) -> None:
    body = orjson.dumps({"one_time_keys": keys_of(PHONE, 1, 2)})
    assert old in body

    refused = await alice.post("/v3/keys/upload", body=body.replace(old, new, 1))

    assert (refused.status, refused.json["errcode"]) == (400, errcode)
    assert (await upload(alice)).json == {"one_time_key_counts": {}}


@pytest.mark.parametrize("body", [b"[]", b"12", b'""', b"{x"])
async def test_a_body_as_long_as_an_empty_one_is_refused_too(
    alice: Client, body: bytes
) -> None:
    refused = await alice.post("/v3/keys/upload", body=body)

    assert refused.status == 400
    assert refused.json["errcode"] in {"M_BAD_JSON", "M_NOT_JSON"}
