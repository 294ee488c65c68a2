"""MSC4388: sessions as JSON, over HTTP; and how many there may be."""

import asyncio
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.features.rendezvous.test_texts import PATH as TEXT_PATH
from tests.features.rendezvous.test_texts import begin as begin_text
from tests.http_client import HttpResponse
from tests.server import Server
from tremula.features.rendezvous import service
from tremula.features.rendezvous.service import LIFETIME_MS, PAYLOAD_BYTES_MAX

PATH = "/_matrix/client/unstable/io.element.msc4388/rendezvous"


async def begin(server: Server, data: str = "hello") -> dict[str, Any]:
    answer = await server.anonymous.post(PATH, {"data": data})
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.json
    return body


async def put(server: Server, session_id: str, token: str, data: str) -> HttpResponse:
    body = {"sequence_token": token, "data": data}
    return await server.anonymous.put(f"{PATH}/{session_id}", body)


async def test_devices_take_turns(server: Server, clock: FakeClock) -> None:
    begun = await begin(server, "")
    path = f"{PATH}/{begun['id']}"
    clock.advance_ms(1_000)

    seen = (await server.anonymous.get(path)).json
    sent = await put(server, begun["id"], seen["sequence_token"], "réponse")
    answer = (await server.anonymous.get(path)).json

    assert begun["expires_in_ms"] == LIFETIME_MS
    assert seen == {
        "data": "",
        "sequence_token": begun["sequence_token"],
        "expires_in_ms": LIFETIME_MS - 1_000,
    }
    assert sent.json == {"sequence_token": answer["sequence_token"]}
    assert answer["data"] == "réponse"
    assert answer["sequence_token"] != seen["sequence_token"]


async def test_anybody_may_begin_one(server: Server) -> None:
    answer = await server.anonymous.get(PATH)
    with_bad_token = await server.anonymous.get(
        PATH, headers={"authorization": "Bearer wrong"}
    )

    assert answer.json == {"create_available": True}
    assert with_bad_token.json["errcode"] == "M_UNKNOWN_TOKEN"


async def test_of_writers_at_once_one_gets_through(server: Server) -> None:
    begun = await begin(server)
    token = begun["sequence_token"]

    answers = await asyncio.gather(
        *(put(server, begun["id"], token, str(number)) for number in range(10))
    )

    refused = [each for each in answers if each.status == 409]
    assert len(refused) == 9
    assert refused[0].json["errcode"] == "IO_ELEMENT_MSC4388_CONCURRENT_WRITE"


async def test_a_session_is_cancelled(server: Server) -> None:
    begun = await begin(server)
    path = f"{PATH}/{begun['id']}"

    cancelled = await server.anonymous.delete(path)

    assert (cancelled.status, cancelled.json) == (200, {})
    for gone in (
        await server.anonymous.get(path),
        await server.anonymous.delete(path),
        await put(server, begun["id"], begun["sequence_token"], "x"),
    ):
        assert (gone.status, gone.json["errcode"]) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("char", ["x", "é", "\n"])
async def test_a_payload_has_4_kb_at_most(server: Server, char: str) -> None:
    longest = char * (PAYLOAD_BYTES_MAX // len(char.encode()))
    begun = await begin(server, longest)

    answers = [
        await server.anonymous.post(PATH, {"data": longest + "x"}),
        await put(server, begun["id"], begun["sequence_token"], longest + "x"),
    ]

    for each in answers:
        assert (each.status, each.json["errcode"]) == (413, "M_TOO_LARGE")


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"data": 1, "sequence_token": "1"}, "M_BAD_JSON"),
        ({"data": "x", "sequence_token": 1}, "M_BAD_JSON"),
    ],
)
async def test_a_malformed_body_is_refused(
    server: Server, body: object, errcode: str
) -> None:
    begun = await begin(server)

    refused = await server.anonymous.put(f"{PATH}/{begun['id']}", body)

    assert (refused.status, refused.json["errcode"]) == (400, errcode)


async def test_a_session_belongs_to_its_protocol(server: Server) -> None:
    begun = await begin(server)
    text_path, _ = await begin_text(server)

    as_text = await server.anonymous.get(f"{TEXT_PATH}/{begun['id']}")
    as_json = await server.anonymous.get(f"{PATH}/{text_path.rpartition('/')[2]}")

    assert [as_text.status, as_json.status] == [404, 404]


@pytest.mark.one_process("the clock jumps further than leases last")
async def test_there_are_so_many_sessions_at_most(
    server: Server, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds no room is told; those that are there stay."""
    monkeypatch.setattr(service, "SESSIONS_MAX", 3)
    begun = [await begin(server) for _ in range(3)]

    refused = await server.anonymous.post(PATH, {"data": "one too many"})

    assert (refused.status, refused.json["errcode"]) == (429, "M_LIMIT_EXCEEDED")
    assert refused.json["retry_after_ms"] > 0
    assert (await server.anonymous.get(f"{PATH}/{begun[0]['id']}")).status == 200
    clock.advance_ms(LIFETIME_MS)
    await begin(server)
