"""Builds what users do in rooms."""

from msgspec import Struct

from tremula.assembly.base import Base, Engine, People
from tremula.assembly.delayed_events import build_delayed_events
from tremula.assembly.relations import add_relations
from tremula.features.directory import federation as directory_federation
from tremula.features.directory import routes as directory_routes
from tremula.features.directory.canonical import CanonicalAliases
from tremula.features.directory.claims import AliasClaims
from tremula.features.directory.published import PublishedRooms
from tremula.features.directory.remote import RemoteDirectory
from tremula.features.directory.service import Directory
from tremula.features.federation_events.asking import RemoteEvents
from tremula.features.federation_handshakes.service import RemoteMemberships
from tremula.features.history import routes as history_routes
from tremula.features.history.elsewhere import Elsewhere
from tremula.features.history.filling import GapFilling
from tremula.features.history.service import History
from tremula.features.hungry_rooms.service import Authority
from tremula.features.membership import removal_routes
from tremula.features.membership import routes as membership_routes
from tremula.features.membership.admission import Admission
from tremula.features.membership.invite_permission import InvitePermission
from tremula.features.membership.removals import Removals
from tremula.features.membership.service import Membership
from tremula.features.messages import routes as messages_routes
from tremula.features.messages.send_status import SendStatuses
from tremula.features.messages.service import Messages
from tremula.features.room_creation import routes as room_creation_routes
from tremula.features.room_creation.bridged import OwnUsers
from tremula.features.room_creation.service import RoomCreation
from tremula.features.room_previews import routes as room_previews_routes
from tremula.features.room_previews.service import RoomPreviews
from tremula.features.room_state import routes as room_state_routes
from tremula.features.room_state.service import RoomState
from tremula.features.room_upgrades import routes as room_upgrades_routes
from tremula.features.room_upgrades.orphans import Orphans
from tremula.features.room_upgrades.personal_settings import PersonalSettings
from tremula.features.room_upgrades.relatives import Relatives
from tremula.features.room_upgrades.service import RoomUpgrades
from tremula.features.room_upgrades.successors import Successors
from tremula.features.server_notices.service import NoticeRooms
from tremula.features.spaces import federation as spaces_federation
from tremula.features.spaces import routes as spaces_routes
from tremula.features.spaces import summary_routes
from tremula.features.spaces.onlookers import UserOnlookers
from tremula.features.spaces.remote import RemoteSpaces
from tremula.features.spaces.service import Spaces
from tremula.features.spaces.serving import SpacesForServers
from tremula.features.spaces.space_rooms import OwnRooms
from tremula.features.spaces.summaries import RoomSummaries
from tremula.features.spaces.walking import Lookup
from tremula.features.third_party import invite_routes
from tremula.features.third_party.address_invitations import AddressInvitations
from tremula.features.third_party.identity_invitations import IdentityInvitations
from tremula.rooms.contents import EventContents


def _build_directory(base: Base, engine: Engine) -> Directory:
    directory = Directory(
        base.database,
        base.journal,
        CanonicalAliases(base.journal, engine.reader, engine.rooms),
        engine.reader,
        PublishedRooms(base.database, base.journal, engine.reader),
        RemoteDirectory(base.federation),
        AliasClaims(base.server_name, base.appservices),
    )
    base.router.add(directory_routes, directory)
    base.router.add(directory_federation, directory)
    return directory


def _build_history(base: Base, engine: Engine, people: People) -> History:
    gaps = GapFilling(engine.past, engine.rooms, base.server_name)
    times = RemoteEvents(base.federation, engine.verifier)
    return History(
        engine.access,
        engine.events,
        engine.serializer,
        engine.places,
        gaps,
        Elsewhere(times, gaps),
        people.account_data,
    )


def _add_spaces(base: Base, engine: Engine, directory: Directory) -> None:
    rooms = OwnRooms(engine.reader, base.server_name)
    remote = RemoteSpaces(base.federation, base.clock)
    base.metrics.caches.watch("remote_spaces", remote.cache)
    base.metrics.caches.watch("servers_without_spaces", remote.pauses)
    lookup = Lookup(rooms, remote)
    onlookers = UserOnlookers(engine.memberships, engine.outside)
    base.router.add(spaces_routes, Spaces(lookup, onlookers, base.clock))
    base.router.add(spaces_federation, SpacesForServers(rooms))
    summaries = RoomSummaries(lookup, onlookers, directory, base.clock)
    base.router.add(summary_routes, summaries)


class RoomFeatures(Struct, frozen=True):
    """What others make rooms with, and find them."""

    directory: Directory
    creation: RoomCreation
    history: History
    previews: RoomPreviews


def add_rooms(
    base: Base, engine: Engine, people: People, remote: RemoteMemberships
) -> RoomFeatures:
    """Rooms as clients make, change and find them."""
    rooms, reader, events = engine.rooms, engine.reader, engine.events
    member_fields = people.profiles.member_fields
    directory = _build_directory(base, engine)
    directory.claims.seekers.append(people.queries.has_made)
    membership = _build_membership(base, engine, people, remote, directory)
    addresses = AddressInvitations(
        people.third_party.invitations,
        IdentityInvitations(
            people.third_party.identity_servers, membership, rooms, base.limiter
        ),
    )
    base.router.add(invite_routes, invite_routes.Inviting(membership, addresses))
    _add_messages(base, engine, people, membership)
    creation = RoomCreation(
        rooms,
        directory,
        membership,
        addresses,
        OwnUsers(base.appservices, base.server_name),
        base.config.default_room_version,
        base.config.federation.enabled,
    )
    base.router.add(room_creation_routes, creation)
    state = RoomState(engine.access, events, engine.serializer, engine.places)
    base.router.add(room_state_routes, state)
    history = _build_history(base, engine, people)
    base.router.add(history_routes, history)
    previews = RoomPreviews(
        engine.access, state, history, directory, people.account_data
    )
    base.router.add(room_previews_routes, previews)
    _add_spaces(base, engine, directory)
    add_relations(base, engine, people)
    settings = PersonalSettings(
        journal=base.journal,
        reader=reader,
        events=events,
        account_data=people.account_data,
        push_rules=people.push_rules,
        slots=base.slots,
        clock=base.clock,
    )
    base.supervisor.keep_running("personal_settings", settings.run)
    relatives = Relatives(base.database, engine.memberships, rooms, reader, events)
    successors = Successors(
        rooms=rooms,
        reader=reader,
        events=events,
        member_fields=member_fields,
        orphans=Orphans(engine.memberships, reader, events),
        slots=base.slots,
    )
    upgrades = RoomUpgrades(successors, rooms, reader, directory, settings, relatives)
    base.router.add(room_upgrades_routes, upgrades)
    return RoomFeatures(directory, creation, history, previews)


def _add_messages(
    base: Base, engine: Engine, people: People, membership: Membership
) -> None:
    events = engine.events
    authority = Authority(base.appservices, engine.reader, base.server_name)
    messages = Messages(
        engine.rooms,
        engine.reader,
        events,
        membership,
        membership.directory,
        authority,
        SendStatuses(events, EventContents(events, base.journal), authority),
    )
    delayed = build_delayed_events(base, engine, people, messages)
    base.router.add(messages_routes, messages_routes.Sending(messages, delayed))


def _build_membership(
    base: Base,
    engine: Engine,
    people: People,
    remote: RemoteMemberships,
    directory: Directory,
) -> Membership:
    membership = Membership(
        engine.rooms,
        engine.reader,
        engine.memberships,
        directory,
        Admission(
            InvitePermission(people.account_data),
            base.blocked_rooms,
            NoticeRooms(base.database, base.config.server_notices.can_be_left),
            people.queries,
            people.accounts,
        ),
        people.profiles.member_fields,
        remote,
    )
    base.router.add(membership_routes, membership)
    base.router.add(removal_routes, Removals(engine.rooms, engine.reader))
    return membership
