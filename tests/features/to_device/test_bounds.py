"""CS sendToDevice: what is refused, and what is forgotten."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import error_of, guest
from tests.features.to_device.messages import (
    ALICE,
    BOB,
    PHONE,
    Inbox,
    logged_in,
    put,
    send,
)
from tests.server import Server, config_for, running_server
from tremula.features.to_device.service import ToDevice
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.federation.peers import Peers

CAROL = "@carol:test"


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ({BOB: []}, (400, "M_BAD_JSON")),
        ({BOB: {PHONE: 1}}, (400, "M_BAD_JSON")),
        ({BOB: {PHONE: None}}, (400, "M_BAD_JSON")),
        ({BOB: {PHONE: {"x": 1.5}}}, (400, "M_BAD_JSON")),
        ({BOB: {"": {}}}, (400, "M_INVALID_PARAM")),
        ({BOB: {"\0": {}}}, (400, "M_BAD_JSON")),
        ({BOB: {"D" * 256: {}}}, (400, "M_INVALID_PARAM")),
        ({"bob": {PHONE: {}}}, (400, "M_INVALID_PARAM")),
        ({BOB: {PHONE: {"x": "x" * 65_536}}}, (413, "M_TOO_LARGE")),
        ({BOB: {f"D{number}": {} for number in range(501)}}, (400, "M_INVALID_PARAM")),
        (
            {f"@u{number}:test": {"*": {}} for number in range(2_001)},
            (400, "M_INVALID_PARAM"),
        ),
    ],
)
async def test_a_malformed_request_is_refused_whole(
    server: Server, messages: Mapping[str, object], error: tuple[int, str]
) -> None:
    inbox = Inbox(await logged_in(server.client(CAROL, device_id=PHONE)))
    alice = server.client(ALICE)
    messages = {CAROL: {PHONE: {}}, **messages}

    assert error_of(await put(alice, "t", messages)) == error
    assert await inbox.sync() == []


@pytest.mark.parametrize(
    ("event_type", "txn_id"), [("x" * 256, "t"), ("%00", "t"), ("m.x", "t" * 256)]
)
async def test_a_type_and_a_transaction_id_are_bounded(
    server: Server, event_type: str, txn_id: str
) -> None:
    response = await put(server.client(ALICE), txn_id, {}, event_type)

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_messages_are_needed(server: Server) -> None:
    response = await server.client(ALICE).put("/v3/sendToDevice/m.x/t", {})

    assert error_of(response) == (400, "M_MISSING_PARAM")


async def test_a_guest_may_send(server: Server) -> None:
    inbox = Inbox(await logged_in(server.client(BOB, device_id=PHONE)))
    await send(await guest(server), 1)

    assert await inbox.numbers() == [1]


async def test_old_transaction_ids_are_forgotten(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    clock = FakeClock()
    async with running_server(config_for(database_source, tmp_path), clock) as server:
        alice = await logged_in(server.client(ALICE))
        await send(alice, 1)
        clock.advance_ms(8 * 24 * 3600 * 1000)
        await send(alice, 2)
        own = server.app.config.server_name
        await ToDevice(
            server.db,
            server.app.journal,
            clock,
            own,
            DurableEdus(Peers(own), clock),
        ).sweep()

        rows = await server.db.all("SELECT txn_id FROM to_device_txns")
        assert rows == [(f"{BOB}{PHONE}2",)]
