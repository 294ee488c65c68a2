"""The write side of one room: its head, which may be ahead of what is committed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tremula.infra.journal import JournalUnit
from tremula.protocol.annotations import annotation_digest
from tremula.protocol.auth_rules import check_auth
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.auth_state import AuthState
from tremula.protocol.errors import Forbidden
from tremula.protocol.events import BuiltEvent, EventDraft, build_event
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId, server_of
from tremula.protocol.redaction import redact_client_event
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.signing import SigningKey
from tremula.rooms import annotations_storage, events_storage, storage
from tremula.rooms.events import Draft, PersistedEvent, StoredEvent
from tremula.rooms.memberships import Memberships
from tremula.rooms.state import MEMBER, StateEvent, StateMap, state_content
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView

REDACTION: Final = "m.room.redaction"
EVENT_TOPIC: Final = "event"


@dataclass(frozen=True, slots=True)
class OwnServer:
    """This server, as it signs events."""

    name: ServerName
    key: SigningKey

    def is_named(self, server_name: ServerName) -> bool:
        """Whether *server_name* is this server's."""
        return server_name == self.name


@dataclass(frozen=True, slots=True)
class Head:
    """What the next event is built upon."""

    auth: AuthState
    state: StateMap
    event_id: EventId | None
    depth: int
    room_pos: int


@dataclass(frozen=True, slots=True)
class Staged:
    """An event that is built and authorised, and on its way to the disk."""

    built: BuiltEvent
    stored: StoredEvent
    state_event: StateEvent | None
    redaction: "Redaction | None"


@dataclass(frozen=True, slots=True)
class Redaction:
    """What a redaction does to the event that it redacts."""

    target: StoredEvent
    client_json: bytes
    state_event: StateEvent | None


class Room:
    """One room of which this process is the writer.

    ``stage`` is synchronous, so that events of a room follow each other without a
    lock, and the next one is built while the last is still being committed.
    """

    __slots__ = ("_memberships", "_own", "head", "in_flight", "last_unit", "view")

    def __init__(
        self,
        view: RoomView,
        newest: events_storage.NewestEvent | None,
        *,
        own: OwnServer,
        memberships: Memberships,
    ) -> None:
        self.view = view
        self.head = Head(
            auth=view.auth,
            state=view.state,
            event_id=newest.event_id if newest else None,
            depth=newest.depth if newest else 0,
            room_pos=newest.room_pos if newest else 0,
        )
        self.in_flight = 0
        self.last_unit: JournalUnit | None = None
        self._own = own
        self._memberships = memberships

    @property
    def version(self) -> RoomVersion:
        """The rules of this room."""
        return self.view.version

    def stage(
        self,
        unit: JournalUnit,
        drafts: Sequence[Draft],
        *,
        now_ms: int,
        redacted: StoredEvent | None = None,
    ) -> list[Staged]:
        """Build and authorise *drafts* and add their statements to *unit*.

        All or none: the head moves only when every draft was allowed. *redacted*
        is the event that a redaction among the drafts names, if it is known.

        Raises:
            AuthRuleViolation: a rule refuses one of the events.
            TooLarge: an event is past the size limits.
            BadJson: a content cannot be an event's.
            Forbidden: a draft does not replace what it says it does.
        """
        head = self.head
        staged = []
        for draft in drafts:
            _check_replaces(head, draft)
            built = self._build(head, draft, now_ms)
            if head.event_id is None:
                # RV12: the create event's hash is the room's ID, known only now.
                self.view.room_id = built.event.room_id
            check_auth(
                self.version, built.event, head.auth, server_signed=self._own.is_named
            )
            head, item = self._advance(head, unit, draft, built, redacted)
            staged.append(item)
        for item in staged:
            self._write(unit, item)
        self.head = head
        self.in_flight += 1
        unit.on_commit(lambda: self._committed(staged))
        unit.wake(self.view.joined_members())
        return staged

    def stored(self, unit: JournalUnit) -> None:
        """*unit* is durable: what comes next need not wait for its fate."""
        if self.last_unit is unit:
            self.last_unit = None

    def _build(self, head: Head, draft: Draft, now_ms: int) -> BuiltEvent:
        keys = auth_event_keys(
            self.version, draft.type, draft.state_key, draft.sender, draft.content
        )
        auth_events = [
            entry.event_id for key in keys if (entry := head.state.get(key)) is not None
        ]
        return build_event(
            self.version,
            EventDraft(
                room_id=self._room_id_for(draft),
                type=draft.type,
                sender=draft.sender,
                state_key=draft.state_key,
                content=draft.content,
                origin_server_ts=(
                    now_ms if draft.origin_server_ts is None else draft.origin_server_ts
                ),
                redacts=draft.redacts,
            ),
            prev_events=(head.event_id,) if head.event_id else (),
            auth_events=auth_events,
            depth=min(head.depth + 1, self.version.depth_max),
            signing_key=self._own.key,
        )

    def _room_id_for(self, draft: Draft) -> RoomId | None:
        # RV12: the create event has no room_id, its own hash becomes the room's.
        if self.version.room_id_is_create_hash and draft.type == "m.room.create":
            return None
        return self.view.room_id

    def _advance(
        self,
        head: Head,
        unit: JournalUnit,
        draft: Draft,
        built: BuiltEvent,
        redacted: StoredEvent | None,
    ) -> tuple[Head, Staged]:
        event = built.event
        stored = StoredEvent(
            event_nid=unit.pos(),
            event_id=event.event_id,
            room_nid=self.view.nid,
            room_pos=head.room_pos + 1,
            type=event.type,
            state_key=event.state_key,
            sender=draft.sender,
            origin_server_ts=event.origin_server_ts,
            client_json=built.client_json,
            device_id=draft.txn.device_id if draft.txn else None,
            txn_id=draft.txn.txn_id if draft.txn else None,
        )
        state, state_event = head.state, None
        if event.state_key is not None:
            before = state.get((event.type, event.state_key))
            stored.replaces_nid = before.event_nid if before else None
            state_event = StateEvent(
                event.event_id,
                stored.event_nid,
                stored.room_pos,
                event.type,
                event.state_key,
                event.sender,
                state_content(event.type, event.content),
            )
            state = state.with_event(state_event)
        redaction = None
        if event.type == REDACTION and redacted is not None:
            redaction = self._redaction(head, draft, redacted)
            if redaction is not None and redaction.state_event is not None:
                state = state.with_event(redaction.state_event)
        successor = Head(
            auth=head.auth if state is head.state else head.auth.advanced_to(state),
            state=state,
            event_id=event.event_id,
            depth=event.depth,
            room_pos=stored.room_pos,
        )
        return successor, Staged(built, stored, state_event, redaction)

    def _redaction(
        self, head: Head, draft: Draft, target: StoredEvent
    ) -> Redaction | None:
        # RV3 "Handling redactions": with enough power, or on the same server.
        levels = head.auth.power_levels
        if levels.user(draft.sender) < levels.redact and server_of(
            draft.sender
        ) != server_of(target.sender):
            return None
        client_json = redact_client_event(self.version, target.client_json)
        if target.state_key is None:
            return Redaction(target, client_json, None)
        current = head.state.get((target.type, target.state_key))
        if current is None or current.event_nid != target.event_nid:
            return Redaction(target, client_json, None)
        remains = replace(target, client_json=client_json, _content=None).content
        return Redaction(
            target,
            client_json,
            replace(current, content=state_content(target.type, remains)),
        )

    def _write(self, unit: JournalUnit, item: Staged) -> None:
        stored, event = item.stored, item.built.event
        events_storage.insert_event(unit, stored, item.built)
        unit.announce(
            EVENT_TOPIC,
            stored.room_nid,
            PersistedEvent(self.view.room_id, stored, event.redacts),
            pos=stored.event_nid,
            size_bytes=stored.size_bytes,
        )
        if item.state_event is not None:
            storage.write_state(unit, self.view.nid, item.state_event)
            if stored.type == MEMBER:
                self._write_membership(unit, item.state_event)
        digest = annotation_digest(stored.type, stored.sender, event.content)
        if digest is not None:
            annotations_storage.insert_annotation(
                unit, self.view.nid, digest, event_nid=stored.event_nid
            )
        if item.redaction is not None:
            self._write_redaction(unit, item.redaction, by_nid=stored.event_nid)

    def _write_redaction(
        self, unit: JournalUnit, redaction: Redaction, *, by_nid: int
    ) -> None:
        target = redaction.target
        events_storage.update_redacted(
            unit,
            target.event_nid,
            client_json=redaction.client_json,
            redacted_by_nid=by_nid,
        )
        digest = annotation_digest(target.type, target.sender, target.content)
        if digest is not None:
            annotations_storage.delete_annotation(
                unit, self.view.nid, digest, event_nid=target.event_nid
            )

    def _write_membership(self, unit: JournalUnit, event: StateEvent) -> None:
        user_id = UserId(event.state_key)
        if not self._own.is_named(server_of(user_id)):
            return
        self._memberships.record(
            unit,
            user_id,
            UserRoom(
                room_id=self.view.room_id,
                room_nid=self.view.nid,
                membership=event.content["membership"],
                event_nid=event.event_nid,
                room_pos=event.room_pos,
                sender=event.sender,
                forgotten=False,
            ),
        )
        unit.wake([user_id])

    def _committed(self, staged: Sequence[Staged]) -> None:
        self.in_flight -= 1
        for item in staged:
            self.view.apply(item.stored, item.state_event)
            if item.redaction is not None:
                self._redacted(item.redaction, by_nid=item.stored.event_nid)

    def _redacted(self, redaction: Redaction, *, by_nid: int) -> None:
        redaction.target.redact(redaction.client_json, by_nid=by_nid)
        if redaction.state_event is not None:
            self.view.replace_state(redaction.state_event)


def _check_replaces(head: Head, draft: Draft) -> None:
    if draft.replaces is None or draft.state_key is None:
        return
    current = head.state.get((draft.type, draft.state_key))
    if current is None or current.event_id != draft.replaces:
        raise Forbidden(f"{draft.replaces} is not the current state any more")
