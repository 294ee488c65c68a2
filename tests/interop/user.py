"""A person with a client, over HTTP."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import orjson
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from tests.interop.peer import Peer

# For whatever has to arrive from the other server; the machine may be busy with others.
DEADLINE_S: Final = 60
_POLL_MS: Final = 5000
_FILTER: Final = orjson.dumps(
    {"room": {"include_leave": True, "timeline": {"limit": 100}}}
).decode()

# An answer of /sync, an event and the like: JSON.
Json = dict[str, Any]
# {(type, state_key): event}
State = Mapping[tuple[str, str], Json]

# What of an event is the same wherever it is told; `event_id` stands for the rest.
_SIGNED: Final = ("event_id", "sender", "origin_server_ts", "content")

_Found = TypeVar("_Found")


class Refused(Exception):
    """The server said no."""

    def __init__(self, status: int, body: Json, request: str) -> None:
        super().__init__(f"{request}: {status} {body}")
        self.status = status
        self.errcode: str = body.get("errcode", "")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who is logged in at *peer*."""

    peer: Peer
    session: ClientSession
    user_id: str
    token: str

    # Requests

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        return await self.request("GET", path, query=query)

    async def post(
        self,
        *path: str,
        json: object = None,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        return await self.request(
            "POST", path, json={} if json is None else json, query=query
        )

    async def put(self, *path: str, json: object) -> Json:
        return await self.request("PUT", path, json=json)

    async def request(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        json: object = None,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """A request of the client-server API; *path* is what follows its version."""
        return await _request(
            self.session,
            self.peer,
            method,
            path,
            json=json,
            query=query,
            token=self.token,
        )

    # Rooms

    async def create_room(self, version: str, **options: object) -> str:
        """A room that anybody may join, unless *options* say else."""
        created = await self.post(
            "createRoom",
            json={"preset": "public_chat", "room_version": version, **options},
        )
        return str(created["room_id"])

    async def join(self, room: str, *, via: Peer) -> str:
        """Join by ID or alias; the room is in /sync then, which may take longer."""
        room_id = await self._let_in(room, via)
        await self.until(lambda answer: joined_room(answer, room_id) or None)
        return room_id

    async def _let_in(self, room: str, via: Peer) -> str:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    joined = await self.post("join", room, query=_via(via))
                except Refused as error:
                    # Synapse asks nobody whom it could not reach a moment ago.
                    if error.status != 502:
                        raise
                else:
                    return str(joined["room_id"])

    async def knock(self, room_id: str, *, via: Peer) -> None:
        await self.post("knock", room_id, query=_via(via))

    async def give_power(self, room_id: str, *whom: "User") -> None:
        """Let others set the room's state, its power levels too."""
        levels = await self.power_levels(room_id)
        levels["users"] = {
            **levels.get("users", {}),
            **{user.user_id: 50 for user in whom},
        }
        levels["events"] = dict.fromkeys(levels.get("events", {}), 50)
        given = await self.set_state(room_id, "m.room.power_levels", levels)
        for user in whom:
            await user.until_event(room_id, given)

    async def take_power(self, room_id: str, whom: "User") -> None:
        """Take from somebody what `give_power` gave."""
        levels = await self.power_levels(room_id)
        del levels["users"][whom.user_id]
        await self.set_state(room_id, "m.room.power_levels", levels)

    async def leave(self, room_id: str) -> None:
        await self.post("rooms", room_id, "leave")

    async def invite(self, room_id: str, whom: "User") -> None:
        await self._target(room_id, "invite", whom)

    async def kick(self, room_id: str, whom: "User") -> None:
        await self._target(room_id, "kick", whom)

    async def ban(self, room_id: str, whom: "User") -> None:
        await self._target(room_id, "ban", whom)

    async def unban(self, room_id: str, whom: "User") -> None:
        await self._target(room_id, "unban", whom)

    async def _target(self, room_id: str, action: str, whom: "User") -> None:
        await self.post("rooms", room_id, action, json={"user_id": whom.user_id})

    async def say(self, room_id: str, body: str) -> str:
        """Send a text; return its event ID."""
        sent = await self.put(
            *("rooms", room_id, "send", "m.room.message", secrets.token_hex(8)),
            json={"msgtype": "m.text", "body": body},
        )
        return str(sent["event_id"])

    async def redact(self, room_id: str, event_id: str) -> str:
        redacted = await self.put(
            *("rooms", room_id, "redact", event_id, secrets.token_hex(8)), json={}
        )
        return str(redacted["event_id"])

    async def set_state(
        self, room_id: str, event_type: str, content: Json, state_key: str = ""
    ) -> str:
        sent = await self.put(
            "rooms", room_id, "state", event_type, state_key, json=content
        )
        return str(sent["event_id"])

    async def state(self, room_id: str) -> State:
        """The room's whole state, as this user's server has it."""
        events: list[Json] = await self.request(  # type: ignore[assignment]  # an array
            "GET", ("rooms", room_id, "state")
        )
        return {(event["type"], event["state_key"]): event for event in events}

    async def power_levels(self, room_id: str) -> Json:
        """The content of the room's power levels, to be changed and sent."""
        return await self.get("rooms", room_id, "state", "m.room.power_levels", "")

    # Waiting for what the other server sends

    async def until(self, found: Callable[[Json], _Found | None]) -> _Found:
        """Sync from the beginning on until *found* finds something in an answer."""
        query = {"filter": _FILTER, "timeout": str(_POLL_MS)}
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer = await self.get("sync", query=query)
                if (what := found(answer)) is not None:
                    return what
                query["since"] = answer["next_batch"]

    async def until_event(self, room_id: str, event_id: str) -> Json:
        """The event, once it has come down the room's timeline."""

        def find(answer: Json) -> Json | None:
            events = joined_room(answer, room_id).get("timeline", {}).get("events", [])
            return next((each for each in events if each["event_id"] == event_id), None)

        return await self.until(find)

    async def until_invited(self, room_id: str) -> list[Json]:
        """What the invite tells of the room's state."""

        def find(answer: Json) -> list[Json] | None:
            invited: Json = answer.get("rooms", {}).get("invite", {})
            if room_id not in invited:
                return None
            events: list[Json] = invited[room_id]["invite_state"]["events"]
            return events

        return await self.until(find)

    async def until_state(self, room_id: str, is_so: Callable[[State], bool]) -> State:
        """The room's state, once it is so; looked at whenever something has come."""
        query = {"timeout": "0"}
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer = await self.get("sync", query=query)
                state = await self.state(room_id)
                if is_so(state):
                    return state
                query = {"since": answer["next_batch"], "timeout": str(_POLL_MS)}

    async def until_membership(
        self, room_id: str, whom: "User", membership: str
    ) -> None:
        """Wait until the state says that somebody has this membership."""
        await self.until_state(
            room_id, lambda state: membership_in(state, whom) == membership
        )

    async def until_left(self, room_id: str) -> None:
        """Wait until one is in the room no more, nor invited to it."""

        def find(answer: Json) -> bool | None:
            rooms: Json = answer.get("rooms", {})
            return room_id in rooms.get("leave", {}) or None

        await self.until(find)


async def share_room(alice: User, bob: User, version: str) -> str:
    """A public room of Alice in which each sees the other."""
    room_id = await alice.create_room(version)
    await bob.join(room_id, via=alice.peer)
    await alice.until_membership(room_id, bob, "join")
    return room_id


async def assert_same_state(room_id: str, *users: User) -> None:
    """Fail unless the servers of all *users* tell the same state, event by event."""
    first, *others = [await user.state(room_id) for user in users]
    for other in others:
        assert _signed(other) == _signed(first)


def _signed(state: State) -> State:
    """Without what a server adds for whom it tells the event."""
    return {
        key: {name: event[name] for name in _SIGNED} for key, event in state.items()
    }


def _via(peer: Peer) -> Mapping[str, str]:
    """Whom to ask for a room; the second is what older servers know."""
    return {"via": peer.server_name, "server_name": peer.server_name}


def joined_room(answer: Json, room_id: str) -> Json:
    """What an answer of /sync has on a room that one is joined to."""
    room: Json = answer.get("rooms", {}).get("join", {}).get(room_id, {})
    return room


def membership_in(state: State, whom: User) -> str | None:
    """Somebody's membership, if they have any."""
    event = state.get(("m.room.member", whom.user_id))
    return event["content"].get("membership") if event else None


async def register(session: ClientSession, peer: Peer, name: str) -> User:
    """Make an account at *peer*."""
    body = {
        "username": f"{name}-{secrets.token_hex(4)}",
        "password": secrets.token_hex(8),
        "auth": {"type": "m.login.dummy"},
    }
    made = await _request(session, peer, "POST", ("register",), json=body)
    return User(peer, session, made["user_id"], made["access_token"])


async def _request(
    session: ClientSession,
    peer: Peer,
    method: str,
    path: tuple[str, ...],
    *,
    json: object = None,
    query: Mapping[str, str] | None = None,
    token: str | None = None,
) -> Json:
    encoded = "/".join(quote(part, safe="") for part in path)
    url = URL(f"{peer.url}/_matrix/client/v3/{encoded}", encoded=True)
    async with session.request(
        method,
        url.with_query(query),
        data=None if json is None else orjson.dumps(json),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=ClientTimeout(total=DEADLINE_S),
    ) as response:
        answer: Json = orjson.loads(await response.read())
        if response.status != 200:
            raise Refused(response.status, answer, f"{method} {url}")
        return answer
