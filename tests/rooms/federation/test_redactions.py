"""RV3 "Handling redactions", of events that come in either order."""

import pytest

from tests.rooms.federation.remote import (
    BOB,
    CAROL,
    UNKNOWN,
    Forged,
    Remote,
    ScriptedPeers,
)
from tremula.protocol.identifiers import EventId


async def _content(remote: Remote, event_id: EventId) -> dict[str, object]:
    view = await remote.engine.view(remote.room_id)
    event = await remote.engine.events.get(view.nid, event_id)
    return event.content


async def _in_either_order(
    remote: Remote, target: Forged, redaction: Forged, *, early: bool
) -> dict[str, object]:
    """What is left of *target*; the two fork from the same extremities."""
    for event in (redaction, target) if early else (target, redaction):
        receipt = await remote.send(event)
        assert receipt.reason is None
    content = await _content(remote, target.event_id)
    # And so it is in the database.
    remote.engine.events.cache.clear()
    assert await _content(remote, target.event_id) == content
    return content


@pytest.mark.parametrize("version", ["1", "10", "11"])
@pytest.mark.parametrize("early", [False, True])
async def test_an_event_of_the_same_server_is_redacted(
    remote: Remote, *, early: bool
) -> None:
    await remote.send(await remote.join(CAROL))
    target = await remote.message(CAROL)
    redaction = await remote.redaction(target.event_id)

    assert await _in_either_order(remote, target, redaction, early=early) == {}


@pytest.mark.parametrize("early", [False, True])
async def test_an_event_of_another_server_is_redacted_with_power(
    remote: Remote, *, early: bool
) -> None:
    await remote.promote(BOB)
    target = await remote.message(remote.alice)
    redaction = await remote.redaction(target.event_id)

    assert await _in_either_order(remote, target, redaction, early=early) == {}


@pytest.mark.parametrize("early", [False, True])
async def test_an_event_of_another_server_is_left_alone_without_power(
    remote: Remote, *, early: bool
) -> None:
    target = await remote.message(remote.alice)
    redaction = await remote.redaction(target.event_id)

    content = await _in_either_order(remote, target, redaction, early=early)

    assert content == {"body": "hello"}


async def test_redacted_state_is_redacted_in_the_current_state(
    remote: Remote,
) -> None:
    await remote.promote(BOB)
    event_id = await remote.set_state("m.room.topic", {"topic": "secret"})

    await remote.send(await remote.redaction(event_id))

    view = await remote.engine.view(remote.room_id)
    assert view.content_of("m.room.topic") == {}


async def test_a_soft_failed_redaction_redacts_nothing(remote: Remote) -> None:
    await remote.promote(BOB)
    event_id = await remote.engine.send(remote.room_id, remote.alice)
    redaction = await remote.redaction(event_id)
    await remote.set_state("m.room.member", {"membership": "ban"}, BOB)

    await remote.send(redaction)

    assert await _content(remote, event_id) == {"body": "hello"}


async def test_state_that_was_redacted_before_it_got_its_place_stays_redacted(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """It was known from the state before another event only."""
    await remote.promote(BOB)
    topic = await remote.topic("secret")
    newest = await remote.message(prev=[UNKNOWN])
    before = {**await remote.state(), ("m.room.topic", ""): topic.event_id}
    peers.add(topic)
    peers.states[newest.event_id] = (list(before.values()), [])
    await remote.send(newest)
    await remote.send(await remote.redaction(topic.event_id))

    receipt = await remote.send(topic)

    assert receipt.reason is None
    assert await _content(remote, topic.event_id) == {}
    view = await remote.engine.view(remote.room_id)
    assert view.content_of("m.room.topic") == {}
    found = await remote.engine.events.get(view.nid, topic.event_id)
    assert found.redacted_by_nid is not None


@pytest.mark.parametrize("again", [False, True])
async def test_state_whose_redaction_came_first_is_never_shown_whole(
    remote: Remote, peers: ScriptedPeers, *, again: bool
) -> None:
    """It is known from the state before another event, and may come itself later."""
    await remote.promote(BOB)
    topic = await remote.topic("secret")
    await remote.send(await remote.redaction(topic.event_id))
    before = {**await remote.state(), ("m.room.topic", ""): topic.event_id}
    newest = await remote.message(prev=[UNKNOWN], state=before)
    peers.add(topic)
    peers.states[newest.event_id] = (list(before.values()), [])

    await remote.send(newest)
    if again:
        await remote.send(topic)

    view = await remote.engine.view(remote.room_id)
    found = await remote.engine.events.find_stored(view.nid, topic.event_id)
    assert found is not None
    assert found.content == {}
    assert found.redacted_by_nid is not None
