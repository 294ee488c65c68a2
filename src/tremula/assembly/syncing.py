"""Builds `/sync`, and what it is made of."""

from msgspec import Struct

from tremula.assembly.base import (
    Base,
    Encryption,
    Engine,
    Outbound,
    People,
    Reading,
)
from tremula.assembly.federation import send_edus, take_transactions
from tremula.assembly.push_rules import build_reading
from tremula.assembly.sliding_syncing import SyncParts, add_sliding_sync
from tremula.features.account_data.sync import (
    GlobalAccountDataPart,
    RoomAccountDataPart,
)
from tremula.features.appservice_encryption.messages import wants as wants_messages
from tremula.features.device_keys.signatures import Signatures
from tremula.features.device_lists import routes as device_lists_routes
from tremula.features.device_lists.encounters import Company
from tremula.features.device_lists.sync import DeviceListsPart
from tremula.features.ephemeral_events import routes as ephemeral_events_routes
from tremula.features.ephemeral_events.service import EphemeralEvents
from tremula.features.ephemeral_events.sync import EphemeralEventsPart
from tremula.features.membership.invite_permission import InvitePermission
from tremula.features.one_time_keys.sync import KeyStatus
from tremula.features.presence.sync import PresencePart
from tremula.features.push.sync import MainUnread, UnreadRooms
from tremula.features.receipts import inbox_routes
from tremula.features.receipts import routes as receipts_routes
from tremula.features.receipts.inbox import Inbox
from tremula.features.receipts.service import Receipts
from tremula.features.receipts.sync import ReceiptsPart
from tremula.features.sync import routes as sync_routes
from tremula.features.sync.event_shapes import EventShapes
from tremula.features.sync.invited_rooms import InvitedRooms
from tremula.features.sync.joined import JoinedRooms
from tremula.features.sync.last_answers import LastAnswers
from tremula.features.sync.lazy_members import LazyMembers
from tremula.features.sync.left_rooms import LeftRooms
from tremula.features.sync.parts import Parts, UserPart
from tremula.features.sync.room_entries import RoomEntries
from tremula.features.sync.rooms_section import RoomsSection
from tremula.features.sync.routes import SyncEdge
from tremula.features.sync.service import Sync
from tremula.features.sync.shared_entries import SharedEntries
from tremula.features.sync.state_section import StateSections
from tremula.features.sync.summary import Summaries
from tremula.features.sync.timeline import Timelines
from tremula.features.to_device.sync import DeviceInbox
from tremula.features.typing import routes as typing_routes
from tremula.features.typing.service import Typing
from tremula.features.typing.sync import TypingPart
from tremula.protocol.identifiers import UserId
from tremula.rooms.member_changes import MemberChanges


class Syncing(Struct, frozen=True):
    """What tells users of news, and of what they have not read."""

    sync: Sync
    reading: Reading
    typing: Typing
    ephemeral: EphemeralEvents
    inbox: DeviceInbox


def add_sync(
    base: Base,
    engine: Engine,
    people: People,
    outbound: Outbound,
    encryption: Encryption,
) -> Syncing:
    """`/sync` and its parts, and the EDUs that are about them."""
    db, journal = base.database, base.journal
    receipts = Receipts(
        db, journal, engine.reader, engine.events, people.account_data, base.clock
    )
    base.router.add(receipts_routes, receipts)
    base.router.add(inbox_routes, Inbox(receipts, people.account_data, base.clock))
    typing = _add_typing(base, engine)
    reading = build_reading(base, engine, people, receipts)
    parts = _build_parts(base, engine, people, encryption, reading, typing)
    ephemeral = _add_ephemeral_events(base, engine)
    sync = _add_sync(base, engine, people, parts, reading, ephemeral)
    add_sliding_sync(base, engine, people, parts)
    take_transactions(base, engine, people, encryption, receipts, typing)
    send_edus(base, engine, people, outbound, typing)
    return Syncing(sync, reading, typing, ephemeral, parts.inbox)


def _build_parts(
    base: Base,
    engine: Engine,
    people: People,
    encryption: Encryption,
    reading: Reading,
    typing: Typing,
) -> SyncParts:
    db, journal = base.database, base.journal
    return SyncParts(
        timelines=Timelines(journal, engine.events, engine.visibility),
        summaries=Summaries(),
        lazy_members=LazyMembers(journal),
        invited=InvitedRooms(
            engine.reader,
            engine.events,
            engine.outside,
            InvitePermission(people.account_data),
        ),
        account_data=GlobalAccountDataPart(db, journal, people.account_data),
        room_account_data=RoomAccountDataPart(db, journal),
        receipts=ReceiptsPart(db, journal),
        typing=TypingPart(journal, typing),
        device_lists=_add_device_lists(base, engine, encryption.signatures),
        inbox=_device_inbox(base),
        key_status=_key_status(base, encryption),
        unread=MainUnread(UnreadRooms(journal, reading.receipts, reading.unread)),
    )


def _add_sync(
    base: Base,
    engine: Engine,
    people: People,
    parts: SyncParts,
    reading: Reading,
    ephemeral: EphemeralEvents,
) -> Sync:
    journal = base.journal
    entries = RoomEntries(
        parts.timelines,
        StateSections(engine.reader, engine.events, parts.lazy_members),
        parts.summaries,
        EventShapes(engine.serializer),
        engine.visibility,
        SharedEntries(parts.lazy_members),
    )
    room_parts = (
        parts.room_account_data,
        parts.receipts,
        parts.typing,
        EphemeralEventsPart(ephemeral),
    )
    unread = UnreadRooms(journal, reading.receipts, reading.unread)
    presence = PresencePart(
        journal, people.presence, people.profiles, people.audience, engine.reader
    )
    rooms = RoomsSection(
        journal,
        engine.memberships,
        people.account_data,
        JoinedRooms(journal, engine.reader, entries, Parts(room_parts), unread),
        parts.invited,
        _left_rooms(base, engine, entries, parts.room_account_data),
        parts.lazy_members,
    )
    user_parts: Parts[UserPart] = Parts(
        (parts.account_data, presence, parts.device_lists)
    )
    topics = rooms.topics.union(user_parts.topics, (parts.key_status.topic,))
    sync = Sync(
        journal,
        rooms,
        user_parts,
        parts.inbox,
        parts.key_status,
        LastAnswers(journal, topics),
        base.clock,
    )
    base.router.add(sync_routes, SyncEdge(sync, people.filters, people.presence))
    return sync


def _left_rooms(
    base: Base, engine: Engine, entries: RoomEntries, account_data: RoomAccountDataPart
) -> LeftRooms:
    return LeftRooms(
        engine.reader,
        engine.outside,
        entries,
        account_data,
        forgets_left=base.config.rooms.forget_left,
    )


def _device_inbox(base: Base) -> DeviceInbox:
    def are_told_by_transactions(user_id: UserId) -> bool:
        return any(map(wants_messages, base.appservices.of_user(user_id)))

    inbox = DeviceInbox(base.database, base.journal, are_told_by_transactions)
    base.metrics.caches.watch("to_device", inbox.cache)
    base.supervisor.keep_running("to_device_received", inbox.run)
    return inbox


def _key_status(base: Base, encryption: Encryption) -> KeyStatus:
    status = KeyStatus(encryption.one_time_keys, base.journal)
    base.metrics.caches.watch("one_time_keys", status.cache)
    return status


def _add_typing(base: Base, engine: Engine) -> Typing:
    typing = Typing(base.database, engine.reader, base.journal, base.clock)
    base.router.add(typing_routes, typing)
    base.supervisor.keep_running("typing", typing.run)
    return typing


def _add_ephemeral_events(base: Base, engine: Engine) -> EphemeralEvents:
    ephemeral = EphemeralEvents(engine.reader, base.journal, base.clock)
    base.router.add(ephemeral_events_routes, ephemeral)
    return ephemeral


def _add_device_lists(
    base: Base, engine: Engine, signatures: Signatures
) -> DeviceListsPart:
    company = Company(
        base.journal,
        engine.memberships,
        engine.reader,
        engine.shared,
        MemberChanges(base.database, engine.events),
    )
    part = DeviceListsPart(base.database, base.journal, company, signatures)
    base.router.add(device_lists_routes, part)
    return part
