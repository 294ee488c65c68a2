"""What resolving a forked room costs, without a database.

``python -m bench.state_resolution`` prints the CPU time of forks of a large room
(comparing whole states, loading what is asked for, resolving), and of graphs made to
wear servers down (CVE-2024-31208) in two sizes: twice the events may cost twice the
time.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from tremula.protocol.auth_rules import auth_event_keys
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateKey,
    member_key,
)
from tremula.protocol.room_versions import RoomVersion, get_room_version
from tremula.protocol.state_resolution import (
    AuthGraph,
    ForkedState,
    Missing,
    Resolution,
)

MEMBERS = 50_000
BRANCHES = 3
CONFLICTS = 500
CRAFTED = 5_000
BUDGET_S = 1.0
ADMIN = "@admin:example.org"

State = dict[StateKey, int]


@dataclass(slots=True)
class Room:
    """A room in memory; an event's number is its place among ``events``."""

    version: RoomVersion
    events: list[Event] = field(default_factory=list)
    auth_nids: list[tuple[int, ...]] = field(default_factory=list)

    @classmethod
    def found(cls, version_id: str) -> tuple["Room", State]:
        """A public room, and its state."""
        room = cls(get_room_version(version_id))
        state: State = {}
        creator = {} if room.version.implicit_creator else {"creator": ADMIN}
        room.send(state, CREATE, ADMIN, creator)
        room.send(state, member_key(ADMIN), ADMIN, {"membership": "join"})
        room.send(state, POWER_LEVELS, ADMIN, room.levels())
        room.send(state, JOIN_RULES, ADMIN, {"join_rule": "public"})
        return room, state

    def levels(self, **users: int) -> dict[str, Any]:
        """Power levels by localpart; the admin's where creators need any."""
        own = {} if self.version.privileged_creators else {ADMIN: 100}
        named = {f"@{name}:example.org": level for name, level in users.items()}
        return {"users": own | named}

    def send(
        self,
        state: State,
        key: StateKey,
        sender: str,
        content: Mapping[str, Any],
        more_auth: Sequence[int] = (),
    ) -> int:
        """Have an event sent in *state*, which it changes."""
        selected = auth_event_keys(self.version, *key, sender, content)
        nids = [*(state[each] for each in selected if each in state), *more_auth]
        nid = len(self.events)
        create = self.events[0].event_id if self.events else ""
        self.events.append(
            Event(
                # Not in the order of their numbers.
                event_id=EventId(f"${nid * 7919 % 1_000_003:06}:example.org"),
                room_id=RoomId("!000000:example.org"),
                type=key[0],
                sender=UserId(sender),
                state_key=key[1],
                content=dict(content),
                origin_server_ts=nid,
                depth=nid,
                prev_events=(EventId(create),)
                if nid == 1
                else (EventId("$p"),) * (nid > 0),
                auth_events=tuple(self.events[each].event_id for each in nids),
                redacts=None,
            )
        )
        self.auth_nids.append(tuple(nids))
        state[key] = nid
        return nid

    def load(self, graph: AuthGraph, missing: Missing) -> None:
        """Add what is asked for."""
        for nid in missing.edges:
            event = self.events[nid]
            graph.add_edges(
                nid, self.auth_nids[nid], type_=event.type, state_key=event.state_key
            )
        for nid in missing.events:
            graph.add_event(nid, self.events[nid], rejected=False)


def user(name: object) -> str:
    """A member."""
    return f"@{name}:example.org"


def join(room: Room, state: State, user_id: str) -> None:
    """Have someone join."""
    room.send(state, member_key(user_id), user_id, {"membership": "join"})


def fork_of_a_large_room(
    version_id: str, *, members: int = MEMBERS, conflicts: int = CONFLICTS
) -> tuple[Room, list[State]]:
    """Branches with joins, departures, kicks, bans, topics, power levels each."""
    room, base = Room.found(version_id)
    for number in range(members):
        join(room, base, user(number))
    room.send(base, POWER_LEVELS, ADMIN, room.levels(mod=50))
    join(room, base, user("mod"))
    states = [dict(base) for _ in range(BRANCHES)]
    for number, (branch, state) in zip(
        range(conflicts), cycle(enumerate(states)), strict=False
    ):
        change(room, state, number, branch, user(number * 97 % members))
    return room, states


def topic_of_a_silent_moderator(version_id: str) -> tuple[Room, list[State]]:
    """The dearest of small forks: of one event, whose sender no other state is of.

    To know that nothing leads to their membership takes all younger members' edges.
    """
    room, base = Room.found(version_id)
    moderator = user("mod")
    join(room, base, moderator)
    room.send(base, POWER_LEVELS, ADMIN, room.levels(mod=50))
    for number in range(MEMBERS):
        join(room, base, user(number))
    fork = dict(base)
    room.send(fork, ("m.room.topic", ""), moderator, {"topic": "Hello."})
    return room, [fork, base]


def change(room: Room, state: State, number: int, branch: int, target: str) -> None:
    """One event of a branch; some are in conflict with another branch's."""
    moderator = user("mod")
    match number % 8:
        case 0 | 1 | 2:
            join(room, state, user(f"new-{number}"))
        case 3:
            room.send(state, member_key(target), target, {"membership": "leave"})
        case 4:
            room.send(state, member_key(target), moderator, {"membership": "leave"})
        case 5:
            room.send(state, member_key(target), ADMIN, {"membership": "ban"})
        case 6:
            room.send(state, ("m.room.topic", ""), moderator, {"topic": str(number)})
        case _:
            levels = room.levels(mod=50 + branch, other=number % 50)
            room.send(state, POWER_LEVELS, ADMIN, levels)


def ladder(version_id: str, length: int) -> tuple[Room, list[State]]:
    """Power levels that cite ten before them: 10^length ways to the root."""
    room, left = Room.found(version_id)
    right = dict(left)
    nids: list[int] = []
    for number in range(length):
        levels = room.levels(mod=number % 50)
        nids.append(room.send(left, POWER_LEVELS, ADMIN, levels, nids[-8:]))
    return room, [left, right]


def comb(version_id: str, length: int) -> tuple[Room, list[State]]:
    """A chain of kicks and joins, and at each a state event that leads down it."""
    room, left = Room.found(version_id)
    room.send(left, POWER_LEVELS, ADMIN, room.levels(mod=50))
    right = dict(left)
    moderator = user("mod")
    for number in range(length // 3):
        join(room, left, moderator)
        room.send(left, ("m.note", str(number)), moderator, {})
        room.send(left, member_key(moderator), ADMIN, {"membership": "leave"})
    return room, [left, right]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one resolution took."""

    compare_ms: float
    resolve_ms: float
    conflicts: int
    edges: int
    events: int
    rounds: int

    def __str__(self) -> str:
        return (
            f"{self.compare_ms:7.1f} ms to compare, {self.resolve_ms:7.1f} ms to load "
            f"and resolve {self.conflicts} keys; {self.edges} edges, {self.events} "
            f"events in {self.rounds} rounds"
        )


def measure(room: Room, states: Sequence[State]) -> Cost:
    """Resolve *states*, with nothing loaded."""
    graph = AuthGraph()
    began_ns = time.process_time_ns()
    forked = ForkedState.of(states, set[StateKey]().union(*states))
    compared_ns = time.process_time_ns()
    resolution = Resolution(room.version, forked, graph)
    rounds = 0
    while missing := resolution.advance():
        room.load(graph, missing)
        rounds += 1
    ended_ns = time.process_time_ns()
    return Cost(
        compare_ms=(compared_ns - began_ns) / 1e6,
        resolve_ms=(ended_ns - compared_ns) / 1e6,
        conflicts=len(forked.keys),
        edges=len(graph.auth_nids),
        events=len(graph.events),
        rounds=rounds,
    )


def report() -> Iterator[tuple[str, Cost]]:
    """All that is measured."""
    for version_id in ("1", "11", "12"):
        cost = measure(*fork_of_a_large_room(version_id))
        yield f"RV{version_id}, {MEMBERS:,} members in {BRANCHES} branches", cost
        cost = measure(*topic_of_a_silent_moderator(version_id))
        yield f"RV{version_id}, {MEMBERS:,} members, one topic", cost
    for version_id in ("11", "12"):
        for crafted in (ladder, comb):
            for length in (CRAFTED, 2 * CRAFTED):
                cost = measure(*crafted(version_id, length))
                yield f"RV{version_id}, {crafted.__name__} of {length:,} events", cost


def main() -> int:
    """Print it; 1 if the large room takes longer than its budget."""
    too_slow = False
    for title, cost in report():
        sys.stdout.write(f"{title}: {cost}\n")
        if "members" in title:
            too_slow |= cost.compare_ms + cost.resolve_ms > BUDGET_S * 1_000
    return int(too_slow)


if __name__ == "__main__":
    sys.exit(main())
