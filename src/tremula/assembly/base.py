"""What is built is handed on as: what everything leans on, and the parts by name."""

from msgspec import Struct

from tremula.features.account.service import Accounts
from tremula.features.account_data.service import AccountData
from tremula.features.appservice_queries.service import AppserviceQueries
from tremula.features.appservices.service import Appservices
from tremula.features.blocked_rooms.service import BlockedRooms
from tremula.features.device_keys.signatures import Signatures
from tremula.features.device_lists.service import DeviceLists
from tremula.features.devices.last_seen import LastSeen
from tremula.features.filters.service import Filters
from tremula.features.one_time_keys.service import OneTimeKeys
from tremula.features.presence.audience import Audience
from tremula.features.presence.service import Presence
from tremula.features.profiles.service import Profiles
from tremula.features.push.service import PushRules
from tremula.features.push.unread import UnreadCounts
from tremula.features.receipts.service import Receipts
from tremula.features.registration.tokens import RegistrationTokens
from tremula.features.remote_devices.federation import RemoteLists
from tremula.features.server_keys.key_ring import KeyRing
from tremula.features.sessions.service import Sessions
from tremula.features.third_party.identity_servers import IdentityServers
from tremula.features.third_party.invitations import EmailInvitations
from tremula.features.third_party.service import ThirdPartyIds
from tremula.features.third_party.validations import Validations
from tremula.features.to_device.service import ToDevice
from tremula.infra.clock import Clock
from tremula.infra.config import Config
from tremula.infra.db import Database
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.federation.queues import Queues
from tremula.infra.http import Router
from tremula.infra.journal import Journal
from tremula.infra.mail import Mailer
from tremula.infra.metrics import Metrics
from tremula.infra.outbound.appservices import AppserviceHttp
from tremula.infra.outbound.web import Web
from tremula.infra.process import Process
from tremula.infra.ratelimit import RateLimiter
from tremula.infra.slots import Slots
from tremula.infra.supervisor import Supervisor, Work
from tremula.protocol.identifiers import ServerName
from tremula.rooms.access import RoomAccess
from tremula.rooms.batches import Batches
from tremula.rooms.erasures import Erasures
from tremula.rooms.event_store import EventStore
from tremula.rooms.memberships import Memberships
from tremula.rooms.outside import OutsideRooms
from tremula.rooms.past import RoomPast
from tremula.rooms.places import Places
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import OwnServer
from tremula.rooms.rooms import Rooms
from tremula.rooms.serialize import Serializer
from tremula.rooms.sharing import SharedRooms
from tremula.rooms.unsent import UnsentEvents
from tremula.rooms.verification import EventVerifier
from tremula.rooms.visibility import Visibility


class Base(Struct, frozen=True, kw_only=True):
    """What everything leans on."""

    config: Config
    clock: Clock
    process: Process
    metrics: Metrics
    supervisor: Supervisor
    router: Router
    limiter: RateLimiter
    own: OwnServer
    federation: FederationClient
    web: Web
    appservice_http: AppserviceHttp
    key_ring: KeyRing
    appservices: Appservices
    blocked_rooms: BlockedRooms
    mailer: Mailer | None

    @property
    def database(self) -> Database:
        """That of this process."""
        return self.process.database

    @property
    def journal(self) -> Journal:
        """What everything is told by."""
        return self.process.journal

    @property
    def slots(self) -> Slots:
        """Who does what."""
        return self.process.slots

    @property
    def server_name(self) -> ServerName:
        """Of this server."""
        return self.own.name

    def run_with_slots(self, name: str, work: Work) -> None:
        """Run *work* at the start, and whenever slots come from other processes."""
        self.supervisor.keep_running(name, work)
        self.slots.on_taken(lambda _: self.supervisor.keep_running(name, work))


class Engine(Struct, frozen=True, kw_only=True):
    """The room engine."""

    rooms: Rooms
    reader: RoomReader
    events: EventStore
    memberships: Memberships
    visibility: Visibility
    serializer: Serializer
    erasures: Erasures
    access: RoomAccess
    places: Places
    verifier: EventVerifier
    past: RoomPast
    outside: OutsideRooms
    unsent: UnsentEvents
    shared: SharedRooms
    batches: Batches


class ThirdPartyServices(Struct, frozen=True, kw_only=True):
    """The e-mail addresses of users."""

    ids: ThirdPartyIds
    validations: Validations
    invitations: EmailInvitations
    identity_servers: IdentityServers


class People(Struct, frozen=True, kw_only=True):
    """Accounts, and what belongs to users."""

    accounts: Accounts
    tokens: RegistrationTokens
    sessions: Sessions
    last_seen: LastSeen
    profiles: Profiles
    push_rules: PushRules
    account_data: AccountData
    filters: Filters
    presence: Presence
    audience: Audience
    device_lists: DeviceLists
    third_party: ThirdPartyServices
    queries: AppserviceQueries


class Reading(Struct, frozen=True, kw_only=True):
    """What users have read, and what they have not."""

    receipts: Receipts
    unread: UnreadCounts


class Encryption(Struct, frozen=True, kw_only=True):
    """The server's part in end-to-end encryption."""

    one_time_keys: OneTimeKeys
    signatures: Signatures
    to_device: ToDevice
    remote_lists: RemoteLists


class Outbound(Struct, frozen=True, kw_only=True):
    """What goes to other servers."""

    queues: Queues
    durable_edus: DurableEdus
