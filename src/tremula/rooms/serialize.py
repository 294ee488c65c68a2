"""Events as clients are shown them: stored bytes with ``unsigned`` put in.

Nothing is parsed or encoded again but redactions and a few values of ``unsigned``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import orjson
from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.clock import Clock
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.aggregations import Aggregation, Aggregations
from tremula.rooms.erasures import Erasures
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import DELAYING_DEVICE, StoredEvent
from tremula.rooms.staging import OwnServer
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Viewer
from tremula.rooms.wire import signed_pdu

_NO_RELATIONS: Final[Mapping[int, bytes]] = {}
_REDACTION: Final = "m.room.redaction"
# What no JSON has in it.
_NOWHERE: Final = b"\0"


class Audience(Struct, frozen=True):
    """Whom events are shown to: *viewer*, on *device_id*.

    With ``wants_relations`` they come with what is told of their children.
    """

    viewer: Viewer
    device_id: str | None
    wants_relations: bool = True


class Serializer(Struct, frozen=True):
    """Turns stored events into client events."""

    events: EventStore
    erasures: Erasures
    clock: Clock
    own: OwnServer
    aggregations: Aggregations

    async def client_events(
        self,
        view: RoomView,
        events: Sequence[StoredEvent],
        audience: Audience,
        *,
        leave_out: bytes = b"",
    ) -> list[bytes]:
        """*events* of one room in the client format, in their order.

        About a microsecond an event; one query for all the replaced state events
        and redactions that are not cached, and those of `Aggregations.of`.
        """
        relations = await self._relations(view, events, audience, leave_out)
        events, related = await self._shown(view, events, audience)
        unsigned = _Unsigned(audience, related, relations, self.clock.now_ms())
        return _client_events(events, unsigned, leave_out)

    async def whole_events(self, events: Sequence[StoredEvent]) -> list[bytes]:
        """*events*, of any rooms, in the client format for whom nothing is hidden from;
        without what is told to one user or device only.
        """
        related = await self._related(events)
        now_ms = self.clock.now_ms()
        return [
            _with_unsigned(_body(each), _unsigned_of_whole(each, related, now_ms))
            for each in events
        ]

    async def pdus(
        self, view: RoomView, events: Sequence[StoredEvent], audience: Audience
    ) -> list[bytes]:
        """*events* as servers send them to each other, with ``unsigned`` for one of us.

        One query more than the client format, which is also faster by far.
        """
        relations = await self._relations(view, events, audience, b"")
        events, related = await self._shown(view, events, audience)
        server_json = await self.events.server_json([e.event_nid for e in events])
        unsigned = _Unsigned(audience, related, relations, self.clock.now_ms())
        return [
            _with_unsigned(
                orjson.dumps(
                    signed_pdu(
                        view.version, e.client_json, server_json[e.event_nid], self.own
                    )
                ),
                unsigned.of(e),
            )
            for e in events
        ]

    async def content(
        self, view: RoomView, event: StoredEvent, user_id: UserId
    ) -> dict[str, Any]:
        """The content of *event* alone, as *user_id* may read it."""
        if self.erasures.concern([event]):
            [event] = await self.erasures.shown(view, [event], user_id)
        return event.content

    async def _relations(
        self,
        view: RoomView,
        events: Sequence[StoredEvent],
        audience: Audience,
        leave_out: bytes,
    ) -> Mapping[int, bytes]:
        """The ``m.relations`` of those of *events* that have any, by their numbers."""
        if not audience.wants_relations:
            return _NO_RELATIONS
        found = await self.aggregations.of(view.nid, events, audience.viewer)
        if not found:
            return _NO_RELATIONS
        edits = [each.edit for each in found.values() if each.edit is not None]
        newest = [each.thread.newest for each in found.values() if each.thread]
        if self.erasures.concern(edits):
            shown = await self.erasures.shown(view, edits, audience.viewer.user_id)
            edits = [edit for edit in edits if edit in shown]
        alone = replace(audience, wants_relations=False)
        encoded = await self._encoded(view, edits, alone, leave_out)
        # "Child events of the `latest_event` should themselves be aggregated." None of
        # them is a thread, since it is in one.
        encoded |= await self._encoded(view, newest, audience, leave_out)
        told = {nid: _relations_json(each, encoded) for nid, each in found.items()}
        return {nid: each for nid, each in told.items() if each != b"{}"}

    async def _encoded(
        self,
        view: RoomView,
        events: Sequence[StoredEvent],
        audience: Audience,
        leave_out: bytes,
    ) -> dict[int, bytes]:
        encoded = await self.client_events(view, events, audience, leave_out=leave_out)
        return {
            event.event_nid: each for event, each in zip(events, encoded, strict=True)
        }

    async def _shown(
        self, view: RoomView, events: Sequence[StoredEvent], audience: Audience
    ) -> tuple[Sequence[StoredEvent], Mapping[int, StoredEvent]]:
        """*events* as the audience may read them, and those by number that their
        ``unsigned`` is made of.
        """
        related = await self._related(events)
        if not self.erasures.concern(chain(events, related.values())):
            return events, related
        user_id = audience.viewer.user_id
        shown = await self.erasures.shown(view, [*events, *related.values()], user_id)
        others = shown[len(events) :]
        return shown[: len(events)], {event.event_nid: event for event in others}

    async def _related(self, events: Iterable[StoredEvent]) -> dict[int, StoredEvent]:
        nids = set()
        for event in events:
            if event.replaces_nid is not None:
                nids.add(event.replaces_nid)
            if event.redacted_by_nid is not None:
                nids.add(event.redacted_by_nid)
        return await self.events.by_nids(nids) if nids else {}


class _Unsigned(Struct, frozen=True):
    """What the ``unsigned`` of events is made of, for one audience."""

    audience: Audience
    related: Mapping[int, StoredEvent]
    relations: Mapping[int, bytes]
    now_ms: int

    def of(self, event: StoredEvent) -> bytes:
        """That of *event*: the members of the object."""
        always = b'"age":%d,"membership":"%b"' % (
            self.now_ms - event.origin_server_ts,
            self.audience.viewer.membership_at(event).encode(),
        )
        more = _more_unsigned(event, self.audience, self.related)
        relations = self.relations.get(event.event_nid)
        if relations is not None:
            more = chain(more, (b'"m.relations":' + relations,))
        return b",".join((always, *more))


def _client_events(
    events: Iterable[StoredEvent], unsigned: _Unsigned, leave_out: bytes
) -> list[bytes]:
    """*events* as JSON; without *leave_out*, which is `room_id_member`, if any.

    What `_Unsigned.of` says of most events stands here once more, without a call.
    """
    viewer, relations = unsigned.audience.viewer, unsigned.relations
    user_id, membership_at = viewer.user_id, viewer.membership_at
    now_ms = unsigned.now_ms
    encoded: list[bytes] = []
    for event in events:
        body = _body(event) if event.type == _REDACTION else event.client_json
        # `content` comes first and in a string the quotation marks would be escaped, so
        # that the last match is the event's own key.
        before, _, after = body.rpartition(leave_out or _NOWHERE)
        if (
            (event.txn_id is None or event.sender != user_id)
            and event.replaces_nid is None
            and event.redacted_by_nid is None
            and not (relations and event.event_nid in relations)
        ):
            encoded.append(
                b'%b%b,"unsigned":{"age":%d,"membership":"%b"}}'
                % (
                    before,
                    after[:-1],
                    now_ms - event.origin_server_ts,
                    membership_at(event).encode(),
                )
            )
        else:
            told = (before, after[:-1], unsigned.of(event))
            encoded.append(b'%b%b,"unsigned":{%b}}' % told)
    return encoded


def _unsigned_of_whole(
    event: StoredEvent, related: Mapping[int, StoredEvent], now_ms: int
) -> bytes:
    unsigned = b'"age":%d' % (now_ms - event.origin_server_ts)
    replaced = related.get(event.replaces_nid or 0)
    if replaced is not None:
        unsigned += b"," + _replaces_json(replaced) + _prev_content_json(replaced)
    redaction = related.get(event.redacted_by_nid or 0)
    if redaction is not None:
        unsigned += b',"redacted_because":' + _body(redaction)
    return unsigned


def _more_unsigned(
    event: StoredEvent, audience: Audience, related: Mapping[int, StoredEvent]
) -> Iterator[bytes]:
    viewer = audience.viewer
    if (
        event.txn_id is not None
        and event.device_id == audience.device_id
        and event.sender == viewer.user_id
    ):
        yield b'"transaction_id":' + orjson.dumps(event.txn_id)
    if event.device_id == DELAYING_DEVICE and event.sender == viewer.user_id:
        # MSC4140: "if, and only if," the client is "authenticated as the sender".
        delay_id = orjson.dumps(event.txn_id)
        yield b'"org.matrix.msc4140.delay_id":%b,"delay_id":%b' % (delay_id, delay_id)
    if event.replaces_nid is not None:
        replaced = related.get(event.replaces_nid)
        if replaced is not None:
            yield _replaced(replaced, viewer)
    if event.redacted_by_nid is not None:
        redaction = related.get(event.redacted_by_nid)
        if redaction is not None:
            yield b'"redacted_because":' + _body(redaction)


def _relations_json(aggregation: Aggregation, encoded: Mapping[int, bytes]) -> bytes:
    members: list[bytes] = []
    edit, thread = aggregation.edit, aggregation.thread
    if edit is not None and edit.event_nid in encoded:
        members.append(b'"m.replace":' + encoded[edit.event_nid])
    if aggregation.references:
        chunk = [{"event_id": event_id} for event_id in aggregation.references]
        members.append(b'"m.reference":' + orjson.dumps({"chunk": chunk}))
    if thread is not None:
        members.append(
            b'"m.thread":{"latest_event":%b,"count":%d,"current_user_participated":%b}'
            % (
                encoded[thread.newest.event_nid],
                thread.count,
                b"true" if thread.participated else b"false",
            )
        )
    return b"{%b}" % b",".join(members)


def _with_unsigned(body: bytes, unsigned: bytes) -> bytes:
    return b'%b,"unsigned":{%b}}' % (body[:-1], unsigned)


def _body(event: StoredEvent) -> bytes:
    """The event without ``unsigned``; a redaction names its target in both places.

    RV11 "Moving the redacts property": "servers should add a `redacts` property to
    the top level" for older clients, and to the `content` in older room versions.
    """
    if event.type != _REDACTION or event.is_state:
        return event.client_json
    body = orjson.loads(event.client_json)
    redacts = body.get("redacts", body["content"].get("redacts"))
    if not isinstance(redacts, str):
        return event.client_json
    body["content"]["redacts"] = body["redacts"] = redacts
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _replaced(replaced: StoredEvent, viewer: Viewer) -> bytes:
    # What they were to the room, users know who see no more of it: clients tell a
    # denied knock from a kick by it.
    is_own = replaced.type == MEMBER and replaced.state_key == viewer.user_id
    if not (is_own or viewer.can_see(replaced)):
        return _replaces_json(replaced)
    return _replaces_json(replaced) + _prev_content_json(replaced)


def _replaces_json(replaced: StoredEvent) -> bytes:
    return b'"replaces_state":' + orjson.dumps(replaced.event_id)


def _prev_content_json(replaced: StoredEvent) -> bytes:
    # COMPAT(matrix-js-sdk, 37): by the sender of an invitation that was accepted it
    # knows a direct chat; the specification has no `prev_sender`.
    return b',"prev_content":%b,"prev_sender":%b' % (
        orjson.dumps(replaced.content),
        orjson.dumps(replaced.sender),
    )


def room_id_member(room_id: RoomId) -> bytes:
    """The bytes that *room_id* takes in a client event: what `/sync` leaves out."""
    return b',"room_id":' + orjson.dumps(room_id)


def stripped_event(event: StoredEvent) -> bytes:
    """*event* as a stripped state event: sender, type, state_key and content."""
    return orjson.dumps(
        {
            "content": event.content,
            "sender": event.sender,
            "state_key": event.state_key,
            "type": event.type,
        }
    )
