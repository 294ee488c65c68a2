"""A small room to try authorisation rules on, and tables of rules by version."""

from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from tremula.protocol.auth_rules import check_auth
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateKey,
    member_key,
)
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion

ALICE = UserId("@alice:a.example")  # the creator, level 100 or infinite
BOB = UserId("@bob:a.example")  # joined, level 50
CAROL = UserId("@carol:b.example")  # joined, level 0
DAVE = UserId("@dave:a.example")  # not in the room

HASH = "A" * 43


class Room:
    """An invite-only room; its methods change it before an event is tried."""

    def __init__(self, version: RoomVersion) -> None:
        self.version = version
        self.by_hash = version.room_id_is_create_hash
        self.room_id = RoomId(f"!{HASH}" if self.by_hash else "!room:a.example")
        self.state: dict[StateKey, Event] = {}
        self.create()
        self.join_rule("invite")
        users = {BOB: 50} if version.privileged_creators else {ALICE: 100, BOB: 50}
        self.levels(users=users)
        for user_id in (ALICE, BOB, CAROL):
            self.member(user_id, "join")

    def create(self, **content: object) -> Self:
        """Have a create event of this content (and a creator where versions do)."""
        if not self.version.implicit_creator:
            content.setdefault("creator", ALICE)
        event_id = f"${HASH}" if self.by_hash else "$create:a.example"
        return self.put(CREATE, content, event_id=event_id)

    def levels(self, **content: object) -> Self:
        """Have exactly these power levels."""
        return self.put(POWER_LEVELS, content)

    def more_levels(self, **content: object) -> Self:
        """Have these power levels besides."""
        return self.levels(**self.state[POWER_LEVELS].content, **content)

    def join_rule(self, rule: object) -> Self:
        """Have this join rule."""
        return self.put(JOIN_RULES, {"join_rule": rule})

    def member(self, user_id: str, membership: object, **content: object) -> Self:
        """Have *user_id* as a member of this kind."""
        return self.put(member_key(user_id), {"membership": membership, **content})

    def put(
        self,
        key: StateKey,
        content: dict[str, Any],
        sender: str = ALICE,
        event_id: str = "",
    ) -> Self:
        """Have any state event."""
        self.state[key] = self.event(
            key[0], content, sender=sender, state_key=key[1], event_id=event_id
        )
        return self

    def without(self, *keys: StateKey) -> Self:
        """Have nothing at *keys*."""
        for key in keys:
            del self.state[key]
        return self

    def event(
        self,
        event_type: str,
        content: dict[str, Any] | None = None,
        *,
        sender: str = ALICE,
        state_key: str | None = None,
        **fields: object,
    ) -> Event:
        """An event of this room to be tried."""
        values: dict[str, Any] = {
            "room_id": self.room_id,
            "origin_server_ts": 1,
            "depth": 5,
            "prev_events": (EventId("$prev:a.example"),),
            "auth_events": (),
            "redacts": None,
            **fields,
        }
        values["event_id"] = values.get("event_id") or f"${event_type}-{state_key}"
        return Event(
            type=event_type,
            content=content or {},
            sender=UserId(sender),
            state_key=state_key,
            **values,
        )

    def membership(
        self,
        target: str,
        membership: object,
        *,
        by: str | None = None,
        **content: object,
    ) -> Event:
        """A membership to be tried; sent by the target itself unless *by* another."""
        return self.event(
            "m.room.member",
            {"membership": membership, **content},
            sender=by or target,
            state_key=target,
        )

    def new_levels(self, by: str = BOB, /, **content: object) -> Event:
        """A change of the present power levels to be tried; a None removes."""
        merged = {**self.state[POWER_LEVELS].content, **content}
        kept = {name: value for name, value in merged.items() if value is not None}
        return self.event("m.room.power_levels", kept, sender=by, state_key="")


# What a table tells: change the room, and return the event to be tried.
Scene = Callable[[Room], Event]


def versions_in(text: str) -> Iterator[str]:
    """The room versions of ``1-5,12``."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from map(str, range(int(first), int(last or first) + 1))


def rules_by_version(text: str) -> Iterator[tuple[str, str]]:
    """The ``(room version, rule number)`` pairs of ``1-5:5.2.3 12:5.3.3``."""
    for group in text.split():
        versions, _, number = group.partition(":")
        for version in versions_in(versions):
            yield version, number


def room(version_id: str) -> Room:
    """The room in this version."""
    return Room(ROOM_VERSIONS[version_id])


def allowed(table: list[tuple[str, str, Scene]]) -> list[pytest.ParameterSet]:
    """The cases of a table of ``(sentence, versions, scene)``."""
    return [
        pytest.param(version, scene, id=f"RV{version}-{sentence}")
        for sentence, versions, scene in table
        for version in versions_in(versions)
    ]


def rejected(table: list[tuple[str, str, Scene]]) -> list[pytest.ParameterSet]:
    """The cases of a table of ``(sentence, rules by version, scene)``."""
    return [
        pytest.param(version, rule, scene, id=f"RV{version}-{rule}-{sentence}")
        for sentence, rules, scene in table
        for version, rule in rules_by_version(rules)
    ]


def check(version_id: str, scene: Scene) -> None:
    """Try the event of *scene*; of all servers, only ours has signed besides."""
    r = room(version_id)
    event = scene(r)
    check_auth(
        r.version, event, r.state, server_signed=lambda name: name == "a.example"
    )


def broken_rule(version_id: str, scene: Scene) -> str:
    """The number of the rule that rejects the event of *scene*."""
    with pytest.raises(AuthRuleViolation) as violation:
        check(version_id, scene)
    room_version, number = violation.value.rule.split(" ")
    assert room_version == f"RV{version_id}"
    return number
