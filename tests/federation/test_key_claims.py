"""One-time keys of and for other servers (SS "End-to-End Encryption")."""

from typing import Any

import pytest

from tests.features.one_time_keys.keys import SIGNED, add, service_of, signed_key
from tests.features.rooms import error_of
from tests.federation.memberships import ALICE, BOB
from tests.federation.network import Letter
from tests.federation.remote import Refusal, Remote
from tests.http_client import Client
from tests.server import Server
from tremula.protocol.identifiers import DeviceId, UserId

PATH = "/v1/user/keys/claim"
FAR_USER = "@far:far.test"
DEVICE = DeviceId("PHONE")


def key_of(user_id: str, number: int) -> dict[str, Any]:
    return {f"{SIGNED}:{number}": signed_key(number, user_id=user_id)}


async def upload(server: Server, user_id: str, number: int) -> None:
    keys = key_of(user_id, number)
    await add(service_of(server.app), UserId(user_id), DEVICE, keys, {})


async def claim(client: Client, *user_ids: str, **more: object) -> dict[str, Any]:
    wanted = {user_id: {DEVICE: SIGNED} for user_id in user_ids}
    answer = await client.post("/v3/keys/claim", {"one_time_keys": wanted, **more})
    assert answer.status == 200, answer.body
    answered: dict[str, Any] = answer.json
    return answered


async def test_a_key_of_another_servers_user_is_claimed_there(
    two: Server, one: Server, alice: Client, bob: Client
) -> None:
    await upload(two, BOB, 1)
    await upload(one, ALICE, 2)

    assert await claim(alice, ALICE, BOB) == {
        "one_time_keys": {
            ALICE: {DEVICE: key_of(ALICE, 2)},
            BOB: {DEVICE: key_of(BOB, 1)},
        },
        "failures": {},
    }
    assert await claim(alice, BOB) == {"one_time_keys": {}, "failures": {}}


async def test_a_server_claims_keys_of_our_users_only(
    two: Server, bob: Client, remote: Remote
) -> None:
    await upload(two, BOB, 1)
    body = {"one_time_keys": {BOB: {DEVICE: SIGNED}}}
    answer = await remote.ask(two, PATH, method="POST", content=body)
    assert answer.json == {"one_time_keys": {BOB: {DEVICE: key_of(BOB, 1)}}}

    body = {"one_time_keys": {FAR_USER: {DEVICE: SIGNED}}}
    answer = await remote.ask(two, PATH, method="POST", content=body)
    assert error_of(answer) == (400, "M_INVALID_PARAM")


async def test_who_cannot_be_asked_is_a_failure_and_the_others_are_not(
    two: Server, bob: Client, remote: Remote, third: Remote
) -> None:
    remote.answers["user/keys/claim"] = Refusal(500, "M_UNKNOWN")
    third.answers["user/keys/claim"] = {
        "one_time_keys": {"@third:third.test": {DEVICE: key_of("@third:third.test", 1)}}
    }
    answer = await claim(bob, FAR_USER, "@third:third.test", "@gone:gone.test")

    assert answer["one_time_keys"].keys() == {"@third:third.test"}
    assert answer["failures"].keys() == {"far.test", "gone.test"}


async def test_a_server_that_does_not_answer_in_time_is_a_failure(
    two: Server, bob: Client, remote: Remote
) -> None:
    answer = await claim(bob, FAR_USER, timeout=0)

    assert answer["failures"].keys() == {"far.test"}


async def test_what_was_not_asked_for_is_left_out(
    two: Server, bob: Client, remote: Remote
) -> None:
    """Most of all keys of our own users."""
    asked: list[Any] = []

    def answer(letter: Letter) -> object:
        asked.append(letter.json)
        return {
            "one_time_keys": {
                FAR_USER: {
                    DEVICE: {
                        "x.other:1": "AAAA",
                        **key_of(FAR_USER, 1),
                        f"{SIGNED}:2": 1,
                    },
                    "OTHER": key_of(FAR_USER, 2),
                },
                BOB: {DEVICE: key_of(BOB, 3)},
            }
        }

    remote.answers["user/keys/claim"] = answer
    answered = await claim(bob, FAR_USER, BOB)

    assert asked == [{"one_time_keys": {FAR_USER: {DEVICE: SIGNED}}}]
    assert answered == {
        "one_time_keys": {FAR_USER: {DEVICE: key_of(FAR_USER, 1)}},
        "failures": {},
    }


@pytest.mark.parametrize(
    "garbage",
    [
        {},
        {"one_time_keys": []},
        {"one_time_keys": {FAR_USER: []}},
        {"one_time_keys": {FAR_USER: {DEVICE: "AAAA"}}},
        {"one_time_keys": {FAR_USER: {DEVICE: {f"{SIGNED}:1": None}}}},
        [],
    ],
)
async def test_garbage_gives_no_keys(
    two: Server, bob: Client, remote: Remote, garbage: object
) -> None:
    remote.answers["user/keys/claim"] = garbage

    assert (await claim(bob, FAR_USER))["one_time_keys"] == {}
