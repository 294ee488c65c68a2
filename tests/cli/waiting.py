"""Things that wait in the queues of a server."""

from typing import Final

from tremula.features.remote_devices import storage as device_lists
from tremula.features.remote_devices import untold_storage
from tremula.features.to_device import storage as to_device
from tremula.infra.db import Statements
from tremula.infra.federation import (
    durable_edus_storage,
    outbox_storage,
    queues_storage,
)
from tremula.infra.federation.destination import Entry
from tremula.infra.federation.durable_edus_storage import DurableEdu
from tremula.protocol.identifiers import DeviceId, EventId, ServerName, UserId
from tremula.rooms import partial_storage
from tremula.rooms.partial import PartialState

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_ALICE: Final = UserId("@alice:own.test")
_NEAR, _FAR = ServerName("near.test"), ServerName("far.test")
_ROOM, _JOIN = 1, 10


def what_waits(*, now_ms: int) -> Statements:
    """One or a few of everything, beside what waits no more."""
    unit = Statements()
    _events(unit, now_ms)
    edu = DurableEdu(_FAR, 20, None, b"{}", now_ms - 5 * _MINUTE_MS)
    durable_edus_storage.insert_edu(unit, edu)
    devices = [DeviceId("A"), DeviceId("B")]
    untold_storage.upsert_untold(unit, _ALICE, devices, pos=21)
    strangers = [UserId("@bob:far.test"), UserId("@carol:far.test")]
    device_lists.insert_wanted(unit, strangers, retry_at_ms=0)
    _partial_state(unit, now_ms)
    for device_id in devices:
        to_device.insert_inbox(unit, _ALICE, device_id)
    for pos, device_id in enumerate([*devices, devices[0]]):
        to_device.insert_messages(unit, {_ALICE: {device_id: "{}"}}, pos=pos)
    return unit


def _events(unit: Statements, now_ms: int) -> None:
    """Of three events far.test has had one; near.test came before the last."""
    for pos, hours in ((11, 4), (12, 3), (13, 2)):
        ts_ms = now_ms - hours * _HOUR_MS
        entry = Entry(pos, event_nid=pos)
        outbox_storage.insert_entry(unit, entry, room_nid=_ROOM, ts_ms=ts_ms)
    outbox_storage.upsert_servers(unit, _ROOM, [_FAR], joined_pos=1)
    outbox_storage.upsert_servers(unit, _ROOM, [_NEAR], joined_pos=12)
    queues_storage.upsert_failures(unit, _FAR, failures=2, retry_at_ms=0)
    queues_storage.update_finished(unit, _FAR, sent_pos=11)


def _partial_state(unit: Statements, now_ms: int) -> None:
    partial = PartialState(_JOIN, 1, (_FAR,))
    for room_nid in (_ROOM, _ROOM + 1):
        partial_storage.replace_partial(unit, room_nid, partial)
    partial_storage.update_completed(unit, _ROOM + 1, pos=15)
    deferred = partial_storage.DeferredEvent(EventId("$late"), _FAR, 5, b"{}")
    partial_storage.insert_deferred(unit, _ROOM, deferred)
    unit.run(
        """
        INSERT INTO rooms_events (event_nid, event_id, room_nid, depth, type, sender,
                                  origin_server_ts, client_json, server_json)
        VALUES (:nid, '$join', :room_nid, 1, 'm.room.member', :sender, :ts, '', '')
        """,
        nid=_JOIN,
        room_nid=_ROOM,
        sender=_ALICE,
        ts=now_ms - 2 * _DAY_MS,
    )
