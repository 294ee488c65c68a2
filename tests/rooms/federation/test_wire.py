"""Events as other servers are given them."""

import orjson

from tests.protocol.event_signatures import verify_event_signatures
from tests.query_counter import counted
from tests.rooms.federation.remote import Remote
from tests.rooms.federation.servers import Engine
from tremula.protocol.identifiers import EventId, RoomId
from tremula.rooms.events import Draft


async def signatures(engine: Engine, nid: int) -> object:
    stored = (await engine.events.server_json([nid]))[nid]
    return orjson.loads(stored).get("signatures")


async def nid_of(engine: Engine, room_id: RoomId, event_id: EventId) -> int:
    view = await engine.view(room_id)
    event = await engine.events.find_stored(view.nid, event_id)
    assert event is not None
    return event.event_nid


async def test_what_this_server_alone_has_is_signed_when_it_is_given_away(
    engine: Engine,
) -> None:
    alice = engine.user("alice")
    room_id = await engine.create("12", alice)
    sent = await engine.send(room_id, alice)
    redacted = await engine.send(room_id, alice)
    redaction = Draft(
        "m.room.redaction", alice, {"redacts": redacted}, redacts=redacted
    )
    await engine.append(room_id, redaction)
    nids = [await nid_of(engine, room_id, each) for each in (sent, redacted)]
    assert [await signatures(engine, nid) for nid in nids] == [None, None]

    pdus = await engine.pdus(room_id, nids)

    keys = {engine.name: {engine.own.key.key_id: engine.own.key.public_key}}
    for pdu in pdus:
        verify_event_signatures((await engine.view(room_id)).version, pdu, keys)
    assert [await signatures(engine, nid) for nid in nids] == [
        each["signatures"] for each in pdus
    ]
    with counted(engine.database) as queries:
        assert await engine.pdus(room_id, nids) == pdus
    assert not queries.units


async def test_what_other_servers_are_sent_is_signed_as_it_is_written(
    remote: Remote,
) -> None:
    engine = remote.engine
    event_id = await engine.send(remote.room_id, remote.alice)

    nid = await nid_of(engine, remote.room_id, event_id)
    assert await signatures(engine, nid)
