"""A room on a server written by hand, which may tell whatever it likes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from urllib.parse import unquote

from tests.federation.network import Letter
from tests.federation.remote import Remote
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.event_building import event_links
from tremula.protocol.events import BuiltEvent, EventDraft, build_event, pdu_json
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from tremula.protocol.signing import countersign_event

Json = dict[str, Any]

_START_TS: Final = 1_782_000_000_000


@dataclass(slots=True)
class HostedRoom:
    """A public room of *remote* with one member, who made it.

    ``alter_template`` and ``alter_answer`` change what is answered to ``make_…`` and
    ``send_join``.
    """

    remote: Remote
    version: RoomVersion
    room_id: RoomId | None = None
    events: list[BuiltEvent] = field(default_factory=list)
    received: list[Json] = field(default_factory=list)
    alter_template: Callable[[Json], object] = lambda answer: answer
    alter_answer: Callable[[Json], object] = lambda answer: answer
    _times: "count[int]" = field(default_factory=lambda: count(_START_TS, 1000))

    @property
    def owner(self) -> UserId:
        """Who made the room."""
        return UserId(f"@owner:{self.remote.name}")

    @property
    def id(self) -> RoomId:
        """The ID of the room."""
        assert self.room_id is not None
        return self.room_id

    @property
    def state(self) -> Mapping[tuple[str, str], BuiltEvent]:
        """The current state."""
        return {
            (each.event.type, each.event.state_key): each
            for each in self.events
            if each.event.state_key is not None
        }

    def add(
        self,
        event_type: str,
        content: Json,
        *,
        sender: str | None = None,
        state_key: str | None = "",
    ) -> BuiltEvent:
        """Send an event, whatever the rules say of it."""
        built = self.build(event_type, content, sender=sender, state_key=state_key)
        if self.room_id is None:
            self.room_id = built.event.room_id
        self.events.append(built)
        return built

    def build(
        self,
        event_type: str,
        content: Json,
        *,
        sender: str | None = None,
        state_key: str | None = "",
    ) -> BuiltEvent:
        """An event that would come next."""
        user_id = UserId(sender or self.owner)
        keys = auth_event_keys(self.version, event_type, state_key, user_id, content)
        draft = EventDraft(
            self.room_id, event_type, user_id, state_key, content, next(self._times)
        )
        return build_event(
            self.version,
            draft,
            prev_events=[each.event.event_id for each in self.events[-1:]],
            auth_events=self._ids(keys),
            depth=len(self.events) + 1,
            signing_key=self.remote.key,
        )

    def pdu(self, built: BuiltEvent) -> Json:
        """An event as servers send it."""
        return pdu_json(self.version, built.client_json, built.server_json)

    def template(self, user_id: str, membership: str) -> Json:
        """The answer to a ``make_…`` request."""
        content = {"membership": membership}
        keys = auth_event_keys(self.version, "m.room.member", user_id, user_id, content)
        prev_events = [each.event.event_id for each in self.events[-1:]]
        return {
            "room_version": self.version.id,
            "event": {
                "type": "m.room.member",
                "room_id": self.id,
                "sender": user_id,
                "state_key": user_id,
                "content": content,
                "depth": len(self.events) + 1,
                "prev_events": event_links(self.version, prev_events),
                "auth_events": event_links(self.version, self._ids(keys)),
                "origin": self.remote.name,
                "origin_server_ts": next(self._times),
            },
        }

    def invitation(self, user_id: str, **content: object) -> Json:
        """The body of an invitation of *user_id*."""
        invited = self.build(
            "m.room.member", {"membership": "invite", **content}, state_key=user_id
        )
        return {
            "room_version": self.version.id,
            "event": self.pdu(invited),
            "invite_room_state": [self.pdu(each) for each in self.state.values()],
        }

    def serve(self) -> None:
        """Let *remote* answer for the room."""
        self.remote.answers |= {
            "/v1/make_": self._make,
            "/v2/send_join/": self._send_join,
            "/v1/send_knock/": self._send_knock,
            "/v2/send_leave/": self._send_leave,
        }

    def _make(self, letter: Letter) -> object:
        name, _, user_id = letter.path.split("/")[4:]
        template = self.template(unquote(user_id), name.removeprefix("make_"))
        return self.alter_template(template)

    def _send_join(self, letter: Letter) -> object:
        self.received.append(letter.json)
        signed = countersign_event(
            self.version, letter.json, self.remote.name, self.remote.key
        )
        state = [self.pdu(each) for each in self.state.values()]
        return self.alter_answer(
            {"state": state, "auth_chain": list(state), "event": signed}
        )

    def _send_knock(self, letter: Letter) -> object:
        self.received.append(letter.json)
        return {"knock_room_state": [self.pdu(each) for each in self.state.values()]}

    def _send_leave(self, letter: Letter) -> object:
        self.received.append(letter.json)
        return {}

    def _ids(self, keys: list[tuple[str, str]]) -> list[EventId]:
        state = self.state
        return [state[key].event.event_id for key in keys if key in state]


def hosted_room(
    remote: Remote, version_id: str = "11", *, join_rule: str = "public"
) -> HostedRoom:
    """A new room of *remote*, which answers for it."""
    version = ROOM_VERSIONS[version_id]
    room_id = None
    if not version.room_id_is_create_hash:
        room_id = RoomId(f"!room:{remote.name}")
    room = HostedRoom(remote, version, room_id)
    create: Json = {"room_version": version_id}
    if not version.implicit_creator:
        create["creator"] = room.owner
    room.add("m.room.create", create)
    room.add("m.room.member", {"membership": "join"}, state_key=room.owner)
    levels = {} if version.privileged_creators else {room.owner: 100}
    room.add("m.room.power_levels", {"users": levels, "invite": 50})
    room.add("m.room.join_rules", {"join_rule": join_rule})
    room.serve()
    return room
