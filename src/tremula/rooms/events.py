"""Events as the room engine takes them from its callers and as it stores them."""

import secrets
from typing import Any, Final

import orjson
from msgspec import Struct
from msgspec.structs import replace

from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import (
    DeviceId,
    EventId,
    RoomId,
    ServerName,
    UserId,
)
from tremula.protocol.room_versions import EventIdFormat, RoomVersion

_EVENT_ID_BYTES: Final = 32

NOWHERE_POS: Final = -(2**62)
"""The ``room_pos`` of events that are in no timeline: before everything."""


UNKNOWN_CHILDREN_POS: Final = -1
"""The ``childless_pos`` of events that may have had children before they came."""

DELAYING_DEVICE: Final = DeviceId("org.matrix.msc4140")
"""What sends delayed events, with the delay ID as transaction ID: so none is sent
twice, and a stored event says which delay it has come from."""


class TxnKey(Struct, frozen=True):
    """The device and transaction id that a client sent an event with."""

    device_id: DeviceId
    txn_id: str


class Draft(Struct, frozen=True):
    """An event that one of our own users wants to send.

    ``origin_server_ts`` is now unless given. ``device_id`` counts where there is
    a ``txn``: that device alone is shown ``unsigned.transaction_id``. With
    ``replaces`` the event is refused unless it replaces that state event.

    In rooms that don't federate an application service may choose the ``event_id``, and
    set memberships that ``is_forced``: no rule asks whether the sender may.
    """

    type: str
    sender: UserId
    content: dict[str, Any]
    state_key: str | None = None
    redacts: EventId | None = None
    origin_server_ts: int | None = None
    txn: TxnKey | None = None
    replaces: EventId | None = None
    event_id: EventId | None = None
    is_forced: bool = False


class Chosen(Struct, frozen=True):
    """What an application service chooses of an event, instead of the server: when it
    was sent, and its ID, which rooms that federate refuse.
    """

    ts_ms: int | None = None
    event_id: EventId | None = None

    def of(self, draft: Draft) -> Draft:
        """*draft* with what was chosen."""
        if self is NOTHING_CHOSEN:
            return draft
        return replace(draft, origin_server_ts=self.ts_ms, event_id=self.event_id)


NOTHING_CHOSEN: Final = Chosen()


class StoredEvent(Struct):
    """A row of ``rooms_events``, as much of it as clients are shown.

    ``client_json`` is the event in the client format without ``unsigned``. Only
    a redaction changes a stored event, in place, and a bridge (`EventContents`).
    ``room_pos`` is `NOWHERE_POS` for outliers, rejected and soft-failed events. Up to
    the journal position ``childless_pos`` it had no children that are aggregated; that
    is no column.
    """

    event_nid: int
    event_id: EventId
    room_nid: int
    room_pos: int
    type: str
    state_key: str | None
    sender: UserId
    origin_server_ts: int
    client_json: bytes
    replaces_nid: int | None = None
    redacted_by_nid: int | None = None
    device_id: str | None = None
    txn_id: str | None = None
    arrived_pos: int | None = None
    childless_pos: int = UNKNOWN_CHILDREN_POS
    _content: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        built: BuiltEvent,
        *,
        event_nid: int,
        room_nid: int,
        room_pos: int = NOWHERE_POS,
    ) -> "StoredEvent":
        """What is to be stored of *built* at this place."""
        event = built.event
        return cls(
            event_nid=event_nid,
            event_id=event.event_id,
            room_nid=room_nid,
            room_pos=room_pos,
            type=event.type,
            state_key=event.state_key,
            sender=event.sender,
            origin_server_ts=event.origin_server_ts,
            client_json=built.client_json,
        )

    @property
    def is_state(self) -> bool:
        """Whether this is a state event."""
        return self.state_key is not None

    @property
    def is_in_timeline(self) -> bool:
        """Whether it has its place among the events that clients read."""
        return self.room_pos != NOWHERE_POS

    @property
    def journal_pos(self) -> int:
        """Where it stands among all events: its number, unless it was an outlier, which
        arrived later, or has been put into the past, as if it had come then.
        """
        return self.event_nid if self.arrived_pos is None else self.arrived_pos

    @property
    def placed_pos(self) -> int:
        """The journal position at which it got its place in the room."""
        return max(self.event_nid, self.journal_pos)

    @property
    def content(self) -> dict[str, Any]:
        """The parsed ``content``; parsed once, on first use."""
        content = self._content
        if content is None:
            content = self._content = orjson.loads(self.client_json)["content"]
        return content

    def set_txn(self, txn: TxnKey | None) -> None:
        """Say which request of a device this event comes from, if any."""
        if txn is not None:
            self.device_id, self.txn_id = txn.device_id, txn.txn_id

    def redact(self, client_json: bytes, *, by_nid: int) -> None:
        """Take over what the redaction *by_nid* leaves of this event."""
        self.change(client_json)
        self.redacted_by_nid = by_nid

    def change(self, client_json: bytes) -> None:
        """Be shown to clients like this from now on."""
        self.client_json = client_json
        self._content = None

    @property
    def size_bytes(self) -> int:
        """Roughly what this takes in memory."""
        return 600 + 2 * len(self.client_json)


def new_local_event_id(version: RoomVersion, server_name: ServerName) -> EventId:
    """An ID for an event that no other server ever sees."""
    opaque = "$" + secrets.token_urlsafe(_EVENT_ID_BYTES)
    if version.event_ids is EventIdFormat.DOMAIN:
        return EventId(f"{opaque}:{server_name}")
    return EventId(opaque)


class PersistedEvent(Struct, frozen=True):
    """What is announced of an event once it is durable.

    With ``changes_other_state`` the current state changed otherwise than by the event
    itself: state was resolved. ``recipients`` are the servers that are to be sent it;
    None: there are some, but the room is not in memory here.
    """

    room_id: RoomId
    stored: StoredEvent
    redacts: EventId | None = None
    changes_other_state: bool = False
    recipients: frozenset[ServerName] | None = frozenset()
