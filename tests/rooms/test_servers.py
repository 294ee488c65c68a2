"""Which servers are in a room, and which it admits."""

import pytest

from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.rooms.state import MEMBER, StateEvent, StateMap, StateUpdate
from tremula.rooms.view import RoomView

ALICE = "@alice:test"


def event(
    event_type: str, state_key: str, content: dict[str, object], nid: int = 1
) -> StateEvent:
    return StateEvent(
        EventId(f"${nid}"), nid, nid, event_type, state_key, ALICE, content
    )


def view(*events: StateEvent, create: dict[str, object] | None = None) -> RoomView:
    state = StateMap.of([event("m.room.create", "", create or {}), *events])
    return RoomView(
        nid=1,
        room_id=RoomId("!r:test"),
        version=ROOM_VERSIONS["11"],
        state=state,
        room_pos=1,
    )


def member(user_id: str, membership: str, nid: int = 2) -> StateEvent:
    return event(MEMBER, UserId(user_id), {"membership": membership}, nid)


def test_the_servers_of_joined_users_are_counted() -> None:
    room = view(
        member(ALICE, "join"),
        member("@b:one.org", "join"),
        member("@c:one.org", "join"),
        member("@d:two.org:8448", "invite"),
    )
    assert room.joined_servers == {"test": 1, "one.org": 2}

    for user_id, membership in (
        ("@b:one.org", "leave"),
        ("@d:two.org:8448", "join"),
        ("@d:two.org:8448", "join"),
        ("@e:three.org", "ban"),
    ):
        room.apply(3, StateUpdate((member(user_id, membership, 3),)))
    assert room.joined_servers == {"test": 1, "one.org": 1, "two.org:8448": 1}

    room.apply(4, StateUpdate(removed=((MEMBER, "@c:one.org"),)))
    assert room.joined_servers == {"test": 1, "two.org:8448": 1}


@pytest.mark.parametrize(
    ("federate", "expected"),
    [(False, False), (True, True), ("no", True), (None, True), (0, True)],
)
def test_only_false_keeps_other_servers_out(
    federate: object, *, expected: bool
) -> None:
    room = view(create={"m.federate": federate})

    assert room.admits(ServerName("other.org")) is expected
    assert room.admits(ServerName("test"))


def test_the_acl_in_force_is_asked() -> None:
    room = view()
    assert room.admits(ServerName("evil.org"))

    def set_acl(acl: dict[str, object], nid: int) -> None:
        room.apply(nid, StateUpdate((event("m.room.server_acl", "", acl, nid),)))

    set_acl({"allow": ["*"], "deny": ["EVIL.org"]}, 2)
    assert not room.admits(ServerName("Evil.Org:123"))
    assert room.admits(ServerName("good.org"))

    set_acl({"allow": ["*"]}, 3)
    assert room.admits(ServerName("evil.org"))
