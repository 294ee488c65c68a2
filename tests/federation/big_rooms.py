"""A room of many members, on a server that leaves them out where it may."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote

from tests.federation.hosted import HostedRoom, Json, hosted_room
from tests.federation.network import PATIENCE_S, Letter
from tests.federation.remote import Remote
from tests.http_client import Client
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import EventId, RoomId
from tremula.protocol.received_events import receive_pdu

MEMBERS: Final = 300

LAZY = '{"room":{"state":{"lazy_load_members":true}}}'

State = dict[tuple[str, str], BuiltEvent]


@dataclass(slots=True)
class BigRoom:
    """A room of users of two servers, one of which lets others in.

    It tells the whole state once it is `released`; ``tell`` changes what it tells.
    ``servers`` are those that it names as being in the room.
    """

    hosted: HostedRoom
    other: Remote
    released: asyncio.Event = field(default_factory=asyncio.Event)
    tell: Callable[[State], State] = lambda state: state
    servers: list[object] = field(default_factory=list[object])
    before_join: State = field(default_factory=dict[tuple[str, str], BuiltEvent])
    by_id: dict[EventId, BuiltEvent] = field(default_factory=dict[EventId, BuiltEvent])

    @property
    def id(self) -> RoomId:
        return self.hosted.id

    @property
    def member_ids(self) -> set[str]:
        """Who is in the room before anybody joins over `other` servers."""
        return {
            state_key
            for (event_type, state_key), built in self.before_join.items()
            if event_type == "m.room.member"
            and built.event.content["membership"] == "join"
        }

    def user(self, number: int) -> str:
        """One of the many members, all of the same server."""
        return f"@u{number}:{self.hosted.remote.name}"

    @property
    def other_user(self) -> str:
        """The member who is a user of the other server."""
        return f"@other:{self.other.name}"

    def add(
        self,
        event_type: str,
        content: Json,
        *,
        sender: str | None = None,
        state_key: str | None = None,
    ) -> BuiltEvent:
        """Have a member send an event, whatever the rules say of it."""
        return self.of(sender).add(
            event_type, content, sender=sender, state_key=state_key
        )

    def of(self, sender: str | None) -> HostedRoom:
        """The room as the server of *sender* has it."""
        if sender is not None and sender.endswith(f":{self.other.name}"):
            return replace(self.hosted, remote=self.other)
        return self.hosted

    def say(self, sender: str, body: str) -> BuiltEvent:
        """Have a member send a message."""
        return self.add("m.room.message", {"body": body}, sender=sender)

    def pdu(self, built: BuiltEvent) -> Json:
        return self.hosted.pdu(built)

    def chain(self, events: Iterable[BuiltEvent]) -> list[BuiltEvent]:
        """The auth chain of *events*."""
        found: dict[EventId, BuiltEvent] = {}
        pending = list(events)
        while pending:
            for each in pending.pop().event.auth_events:
                if each not in found:
                    found[each] = self._event(each)
                    pending.append(found[each])
        return list(found.values())

    def _event(self, event_id: EventId) -> BuiltEvent:
        self.by_id |= {each.event.event_id: each for each in self.hosted.events}
        return self.by_id[event_id]

    def serve(self, remote: Remote) -> None:
        """Let *remote* tell the whole state, and what it takes to judge events."""
        remote.answers |= {
            "/v1/state_ids/": self._state_ids,
            "/v1/state/": self._state,
            "/v1/event_auth/": self._event_auth,
            "/v1/event/": self._one,
            "/v1/get_missing_events/": self._missing,
            "/v1/backfill/": self._backfill,
        }

    def let_in(self, answer: Json) -> Json:
        """The answer to a join without the members."""
        join = receive_pdu(self.hosted.version, answer["event"]).stored
        self.before_join = dict(self.hosted.state)
        told = [
            built
            for (event_type, _), built in self.before_join.items()
            if event_type != "m.room.member"
        ]
        chain = self.chain([*told, join])
        self.hosted.events.append(join)
        return {
            "state": [self.pdu(each) for each in told],
            "auth_chain": [self.pdu(each) for each in chain if each not in told],
            "event": answer["event"],
            "members_omitted": True,
            "servers_in_room": self.servers,
        }

    async def _state_ids(self, _: Letter) -> Json:
        await self.released.wait()
        state, chain = self._told()
        return {
            "pdu_ids": [each.event.event_id for each in state],
            "auth_chain_ids": [each.event.event_id for each in chain],
        }

    def _state(self, _: Letter) -> Json:
        state, chain = self._told()
        return {
            "pdus": [self.pdu(each) for each in state],
            "auth_chain": [self.pdu(each) for each in chain],
        }

    def _told(self) -> tuple[list[BuiltEvent], list[BuiltEvent]]:
        state = list(self.tell(self.before_join).values())
        return state, self.chain(state)

    def _event_auth(self, letter: Letter) -> Json:
        chain = self.chain([self._event(_last(letter))])
        return {"auth_chain": [self.pdu(each) for each in chain]}

    def _one(self, letter: Letter) -> Json:
        return {"pdus": [self.pdu(self._event(_last(letter)))]}

    def _missing(self, letter: Letter) -> Json:
        body = letter.json
        earliest, pending = set(body["earliest_events"]), list(body["latest_events"])
        found: dict[EventId, BuiltEvent] = {}
        while pending and len(found) < body["limit"]:
            for each in self._event(pending.pop(0)).event.prev_events:
                if each not in found and each not in earliest:
                    found[each] = self._event(each)
                    pending.append(each)
        return {"events": [self.pdu(each) for each in found.values()]}

    def _backfill(self, letter: Letter) -> Json:
        query = parse_qs(letter.uri.partition("?")[2])
        [newest], [limit] = query["v"], query["limit"]
        before = [self._event(EventId(newest))]
        while len(before) < int(limit) and before[-1].event.prev_events:
            before.append(self._event(before[-1].event.prev_events[0]))
        return {"pdus": [self.pdu(each) for each in before]}


def _last(letter: Letter) -> EventId:
    return EventId(unquote(letter.path.rpartition("/")[2]))


def big_room(remote: Remote, other: Remote, version_id: str = "11") -> BigRoom:
    """A new room of *remote*, in which *other* has a user as well."""
    hosted = hosted_room(remote, version_id)
    room = BigRoom(hosted, other, servers=[remote.name, other.name])
    hosted.alter_answer = lambda answer: room.let_in(dict(answer))
    members = [room.user(number) for number in range(MEMBERS)]
    for user_id in [*members, room.other_user]:
        room.add(
            "m.room.member", {"membership": "join"}, sender=user_id, state_key=user_id
        )
    room.add("m.room.name", {"name": "Big"}, state_key="")
    room.serve(remote)
    return room


async def joined_rooms(
    client: Client, *, lazy: bool, since: str | None = None
) -> tuple[dict[str, Any], str]:
    """The joined rooms of a sync, and its token."""
    query: dict[str, str] = {"filter": LAZY} if lazy else {}
    if since is not None:
        query |= {"since": since, "timeout": "10000"}
    answer = (await client.get("/v3/sync", query=query)).json
    return answer.get("rooms", {}).get("join", {}), answer["next_batch"]


async def entry_after(client: Client, room: BigRoom, since: str, *, lazy: bool) -> Json:
    """The room's first entry after a token."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            entries, since = await joined_rooms(client, lazy=lazy, since=since)
            if room.id in entries:
                entry: Json = entries[room.id]
                return entry


async def members(client: Client, room: BigRoom) -> set[str]:
    """The joined members; waits until all are known."""
    path = f"/v3/rooms/{quote(room.id)}/joined_members"
    response = await client.get(path)
    assert response.status == 200, response.body
    return set(response.json["joined"])


def events_of(entry: dict[str, Any]) -> set[str]:
    """The IDs of the events in a room's timeline."""
    return {event["event_id"] for event in entry["timeline"]["events"]}


async def arrived(client: Client, room: BigRoom, built: BuiltEvent) -> bool:
    """Whether an event is in the timeline."""
    event_id = quote(built.event.event_id)
    response = await client.get(f"/v3/rooms/{quote(room.id)}/event/{event_id}")
    return response.status == 200


async def arrives(client: Client, room: BigRoom, built: BuiltEvent) -> None:
    """Wait until an event is in the timeline: what came before the members were known
    is taken in once they are, a moment later than another process may know them.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not await arrived(client, room, built):
            continue
