"""What other servers may ask of a room's past."""

from tests.rooms.federation.remote import BOB, Remote
from tremula.protocol.identifiers import EventId
from tremula.rooms.graph import Node


def _ids(nodes: list[Node]) -> list[EventId]:
    return [node.event_id for node in nodes]


async def test_the_auth_chain_goes_back_to_the_create_event(remote: Remote) -> None:
    engine = remote.engine
    state = await remote.state()
    event_id = await engine.send(remote.room_id, remote.alice)
    node = await remote.node(event_id)
    assert node is not None

    chain = await engine.past.auth_chain([node.nid])

    ids = set((await engine.past.ids(chain)).values())
    assert ids == {
        state["m.room.create", ""],
        state["m.room.power_levels", ""],
        state["m.room.member", remote.alice],
    }


async def test_missing_events_are_those_between_the_oldest_first(
    remote: Remote,
) -> None:
    """SS getMissingPreviousEvents: neither the latest nor the earliest, nor beyond."""
    engine, room_id = remote.engine, remote.room_id
    ids = [await engine.send(room_id, remote.alice) for _ in range(6)]
    view = await engine.view(room_id)

    between = await engine.past.missing_between(
        view, earliest=[ids[1]], latest=[ids[5]], min_depth=0, limit=10
    )
    limited = await engine.past.missing_between(
        view, earliest=[ids[1]], latest=[ids[5]], min_depth=0, limit=2
    )
    newest = await remote.node(ids[4])
    assert newest is not None
    deep = await engine.past.missing_between(
        view, earliest=[], latest=[ids[5]], min_depth=newest.depth, limit=10
    )

    assert _ids(between) == ids[2:5]
    assert _ids(limited) == ids[3:5]
    assert _ids(deep) == [ids[4]]


async def test_backfill_starts_with_what_is_named_the_newest_first(
    remote: Remote,
) -> None:
    engine, room_id = remote.engine, remote.room_id
    ids = [await engine.send(room_id, remote.alice) for _ in range(6)]
    view = await engine.view(room_id)

    page = await engine.past.backfill(view, [ids[4]], limit=3)

    assert _ids(page) == [ids[4], ids[3], ids[2]]


async def test_rejected_events_are_gone_over(remote: Remote) -> None:
    """CVE-2026-45076: a page of them must not be the end."""
    before = await remote.engine.send(remote.room_id, remote.alice)
    last = before
    for _ in range(3):
        rejected = await remote.topic("no power", prev=[last])
        await remote.send(rejected)
        last = rejected.event_id
    after = await remote.message(prev=[last])
    await remote.send(after)
    view = await remote.engine.view(remote.room_id)

    page = await remote.engine.past.backfill(view, [after.event_id], limit=2)

    assert _ids(page) == [after.event_id, before]
    assert await remote.engine.past.find(view, last) is None


async def test_soft_failed_events_are_given_if_others_name_them(
    remote: Remote,
) -> None:
    """SS "Soft failure": "only if the requests include events referencing" them."""
    ends, state = await remote.extremities(), await remote.state()
    ban = await remote.set_state("m.room.member", {"membership": "ban"}, BOB)
    evaded = await remote.message(prev=ends, state=state)
    await remote.send(evaded)
    after = await remote.message(prev=[evaded.event_id], state=state)
    await remote.send(after)
    view = await remote.engine.view(remote.room_id)
    past = remote.engine.past

    assert evaded.event_id not in _ids(await past.backfill(view, [ban], limit=9))
    page = await past.backfill(view, [after.event_id], limit=9)
    assert _ids(page)[:2] == [after.event_id, evaded.event_id]


async def test_events_of_other_rooms_are_not_found(remote: Remote) -> None:
    """CVE-2022-39335: a room's URL is no way to another room's events."""
    engine = remote.engine
    other = await engine.create("10", remote.alice)
    elsewhere = await engine.send(other, remote.alice)
    view = await engine.view(remote.room_id)

    assert await engine.past.find(view, elsewhere) is None
    assert await engine.past.backfill(view, [elsewhere], limit=9) == []
    assert not await engine.past.missing_between(
        view, earliest=[], latest=[elsewhere], min_depth=0, limit=9
    )
