"""Every key of the configuration, its type, bounds and default.

What the keys mean to an operator stands in ``example.toml`` beside this file, which
`tremula config example` prints; a test holds the two together.
"""

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated

from msgspec import Struct

from tremula.protocol import appservices
from tremula.protocol.email_addresses import Mailbox
from tremula.protocol.identifiers import ServerName
from tremula.protocol.room_versions import DEFAULT_ROOM_VERSION
from tremula.protocol.unprinted import Unprinted

_LOCAL_SERVER_NAME = ServerName("localhost")


class Bounds(Struct, frozen=True):
    """The least and the greatest value of a number."""

    least: float
    most: float = 2**31


class SqliteFile(Struct, frozen=True):
    """A database in one file; a relative path is taken from ``data_dir``."""

    path: Path


class PostgresUrl(Unprinted, frozen=True):
    """A PostgreSQL database, ``postgresql://user:password@host:port/name``."""

    url: str


class BusUrls(Unprinted, frozen=True):
    """The servers of one NATS cluster, ``nats://user:password@host:port`` each."""

    urls: tuple[str, ...]


class Api(StrEnum):
    """A set of endpoints that a listener may serve."""

    CLIENT = "client"
    FEDERATION = "federation"
    ADMIN = "admin"
    METRICS = "metrics"


class RegistrationMode(StrEnum):
    """Who may make an account over the client-server API."""

    OPEN = "open"
    TOKEN = "token"  # noqa: S105 - the name of a mode
    CLOSED = "closed"


class EmailPolicy(StrEnum):
    """Whether new users have to prove an e-mail address."""

    OPTIONAL = "optional"
    REQUIRED = "required"


class PremadeThumbnail(StrEnum):
    """The sizes that the specification recommends."""

    CROP_32 = "32x32-crop"
    CROP_96 = "96x96-crop"
    SCALE_320 = "320x240-scale"
    SCALE_640 = "640x480-scale"
    SCALE_800 = "800x600-scale"


class MailSecurity(StrEnum):
    """How the connection to the SMTP server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class LogLevel(StrEnum):
    """The least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class Tls(Struct, frozen=True, kw_only=True):
    """A certificate chain and its key, both PEM files."""

    certificate: Path
    key: Path


class Listener(Struct, frozen=True, kw_only=True):
    """One address to listen on, and what is served there.

    With ``unix_socket``, address and port do not count.
    """

    address: str = "127.0.0.1"
    port: Annotated[int, Bounds(0, 65535)] = 8008
    unix_socket: Path | None = None
    tls: Tls | None = None
    apis: tuple[Api, ...] = (Api.CLIENT, Api.FEDERATION)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can connect.

        A Unix socket is there for a reverse proxy, behind which is the world.
        """
        if self.unix_socket is not None:
            return False
        return self.address == "localhost" or ip_address(self.address).is_loopback

    @property
    def url(self) -> str:
        """Where this listener is reached, for people to read."""
        if self.unix_socket is not None:
            return f"unix:{self.unix_socket}"
        host = "localhost" if self.address == "127.0.0.1" else self.address
        if ":" in host:
            host = f"[{host}]"
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class PolicyDocument(Struct, frozen=True, kw_only=True):
    """What new users have to accept, in one language."""

    id: str
    version: str
    name: str
    url: str
    language: str = "en"


class Registration(Unprinted, frozen=True, kw_only=True):
    """Who may make accounts, and how.

    ``mode`` is never None in a loaded configuration: see `Config.is_exposed`.
    """

    mode: RegistrationMode | None = None
    allow_open_to_the_world: bool = False
    shared_secret: str | None = None
    guests: bool = False
    email: EmailPolicy = EmailPolicy.OPTIONAL
    terms: tuple[PolicyDocument, ...] = ()


class PasswordHashing(Struct, frozen=True, kw_only=True):
    """The cost of Argon2id for one password."""

    time_cost: Annotated[int, Bounds(1, 1000)] = 2
    memory_kib: Annotated[int, Bounds(8, 4 * 1024 * 1024)] = 19_456
    parallelism: Annotated[int, Bounds(1, 64)] = 1


class Tokens(Struct, frozen=True, kw_only=True):
    """How long tokens live; None is for ever."""

    access_lifetime_s: Annotated[int, Bounds(1)] | None = None
    refreshable_access_lifetime_s: Annotated[int, Bounds(1)] = 3600
    refresh_lifetime_s: Annotated[int, Bounds(1)] | None = None


class Presence(Struct, frozen=True, kw_only=True):
    """Whether users see each other online."""

    enabled: bool = True


class DelayedEvents(Struct, frozen=True, kw_only=True):
    """How long, and how many at one time, events may be held back; 0: not at all."""

    max_delay_s: Annotated[int, Bounds(0, 366 * 86_400)] = 86_400
    max_scheduled: Annotated[int, Bounds(0, 10_000)] = 100


class Federation(Struct, frozen=True, kw_only=True):
    """Which other servers this one speaks with; None of them allowed means all.

    They reach it at its delegate. Notaries are asked for the keys of servers that do
    not answer. The key is that of a policy server which answers for this one's name.
    """

    enabled: bool = True
    delegate: ServerName | None = None
    policy_server_key: str | None = None
    allowed_servers: tuple[ServerName, ...] | None = None
    denied_servers: tuple[ServerName, ...] = ()
    notaries: tuple[ServerName, ...] = ()


class Outbound(Struct, frozen=True, kw_only=True):
    """What requests to other servers may reach, and whose certificates they trust."""

    trusted_ca_file: Path | None = None
    allowed_private_ranges: tuple[IPv4Network | IPv6Network, ...] = ()


class Mail(Unprinted, frozen=True, kw_only=True):
    """The SMTP server that mail goes out by; without a host none is sent.

    ``sender`` is there where ``host`` is.
    """

    host: str | None = None
    port: Annotated[int, Bounds(1, 65535)] = 587
    security: MailSecurity = MailSecurity.STARTTLS
    username: str | None = None
    password: str | None = None
    sender: Mailbox | None = None
    trusted_ca_file: Path | None = None
    timeout_s: Annotated[int, Bounds(1, 300)] = 20


class Thumbnailing(Struct, frozen=True, kw_only=True):
    """What making one thumbnail may cost, and which are made without being asked."""

    pixels_max: Annotated[int, Bounds(1)] = 50_000_000
    memory_mib: Annotated[int, Bounds(128, 1024 * 1024)] = 1024
    timeout_s: Annotated[int, Bounds(1, 600)] = 20
    premade: tuple[PremadeThumbnail, ...] = ()


class Media(Unprinted, frozen=True, kw_only=True):
    """Files: where they are kept, how many, and for how long.

    None is without a bound. ``store`` is a folder, or the URL of an object store that
    the four keys after it are for.
    """

    store: str = "media"
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    upload_bytes_max: Annotated[int, Bounds(1, 2**42)] = 100 * 1024 * 1024
    user_bytes_max: Annotated[int, Bounds(0, 2**62)] | None = None
    user_files_max: Annotated[int, Bounds(0)] | None = None
    total_bytes_max: Annotated[int, Bounds(0, 2**62)] | None = None
    pending_max: Annotated[int, Bounds(0)] = 20
    pending_lifetime_s: Annotated[int, Bounds(1)] = 86_400
    uploads_unused_days: Annotated[int, Bounds(1, 36_500)] | None = None
    remote_bytes_max: Annotated[int, Bounds(1, 2**42)] = 100 * 1024 * 1024
    cache_bytes_max: Annotated[int, Bounds(0, 2**62)] = 10 * 1024 * 1024 * 1024
    cache_unused_days: Annotated[int, Bounds(1, 36_500)] | None = None
    blocked_servers: tuple[ServerName, ...] = ()
    unauthenticated_access: bool = False
    scan_command: tuple[str, ...] = ()
    scan_url: str | None = None
    erase_with_account: bool = False
    thumbnails: Thumbnailing = Thumbnailing()


class Rooms(Struct, frozen=True, kw_only=True):
    """What applies to all rooms."""

    forget_left: bool = False


class ServerNotices(Struct, frozen=True, kw_only=True):
    """Who speaks to users in the name of the server, and in what kind of room."""

    localpart: str = "server-notices"
    room_name: str = "Server Notices"
    can_be_left: bool = True


class Appservices(Struct, frozen=True, kw_only=True):
    """Application services: those of files, and whether users may add some.

    ``files`` are read with the configuration.
    """

    files: tuple[appservices.Registration, ...] = ()
    users_may_add: Annotated[int, Bounds(0)] = 0
    users_urls_may_be_private: bool = False


class Turn(Unprinted, frozen=True, kw_only=True):
    """The TURN servers of calls; credentials by shared secret, or fixed ones."""

    uris: tuple[str, ...] = ()
    shared_secret: str | None = None
    username: str | None = None
    password: str | None = None
    ttl_s: Annotated[int, Bounds(60)] = 86_400


class Rtc(Struct, frozen=True, kw_only=True):
    """Where calls of many are transported: token services of LiveKit."""

    livekit_service_urls: tuple[str, ...] = ()


class Contact(Struct, frozen=True, kw_only=True):
    """Somebody who can be written to about the server."""

    role: str
    matrix_id: str | None = None
    email_address: str | None = None


class Support(Struct, frozen=True, kw_only=True):
    """Whom users turn to."""

    page: str | None = None
    contacts: tuple[Contact, ...] = ()


class ThirdParty(Struct, frozen=True, kw_only=True):
    """What may be done with users' e-mail addresses."""

    users_may_change: bool = True
    reveals_accounts: bool = False
    next_link_hosts: tuple[str, ...] = ()
    identity_servers: tuple[ServerName, ...] = ()


class UserDirectory(Struct, frozen=True, kw_only=True):
    """Whom users find."""

    show_all_local_users: bool = False


class UrlPreviews(Struct, frozen=True, kw_only=True):
    """Whether this server looks at the pages that users link to, and at which.

    The lists are globs of whole URLs; None allowed means all.
    """

    enabled: bool = False
    allowed_urls: tuple[str, ...] | None = None
    denied_urls: tuple[str, ...] = ()
    image_bytes_max: Annotated[int, Bounds(1, 2**32)] = 10 * 1024 * 1024
    kept_s: Annotated[int, Bounds(1)] = 3600
    language: str = "en"


class Cluster(Struct, frozen=True, kw_only=True):
    """What makes several processes one server; without a bus there is one process."""

    bus: BusUrls | None = None
    bus_ca_file: Path | None = None
    bus_credentials_file: Path | None = None


class RateLimit(Struct, frozen=True, kw_only=True):
    """A token bucket: ``burst`` requests at once, refilled at ``per_second``."""

    per_second: Annotated[float, Bounds(0.001)]
    burst: Annotated[int, Bounds(1)]


class RateLimits(Struct, frozen=True, kw_only=True):
    """The limit of each class of endpoints; `by_class` names them."""

    enabled: bool = True
    default: RateLimit = RateLimit(per_second=20, burst=100)
    message: RateLimit = RateLimit(per_second=10, burst=50)
    login: RateLimit = RateLimit(per_second=0.2, burst=10)
    registration: RateLimit = RateLimit(per_second=0.2, burst=10)
    rooms: RateLimit = RateLimit(per_second=0.5, burst=20)
    membership: RateLimit = RateLimit(per_second=2, burst=50)
    receipts: RateLimit = RateLimit(per_second=10, burst=50)
    typing: RateLimit = RateLimit(per_second=5, burst=20)
    presence: RateLimit = RateLimit(per_second=1, burst=10)
    account: RateLimit = RateLimit(per_second=5, burst=50)
    directory: RateLimit = RateLimit(per_second=5, burst=30)
    mail: RateLimit = RateLimit(per_second=0.02, burst=10)
    media: RateLimit = RateLimit(per_second=20, burst=200)
    url_previews: RateLimit = RateLimit(per_second=1, burst=30)
    reports: RateLimit = RateLimit(per_second=0.1, burst=10)

    def by_class(self) -> Mapping[str, RateLimit]:
        """The limit of every class, by the name that an endpoint uses."""
        limits = {name: getattr(self, name) for name in self.__struct_fields__}
        return {
            name: limit
            for name, limit in limits.items()
            if isinstance(limit, RateLimit)
        }


class Logging(Struct, frozen=True, kw_only=True):
    """What is logged, and how."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.TEXT


class Caches(Struct, frozen=True, kw_only=True):
    """How much is kept in memory so that it need not be read again."""

    events_bytes: Annotated[int, Bounds(0, 2**40)] = 16 * 1024 * 1024
    state_entries_max: Annotated[int, Bounds(0)] = 200_000


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration. Only the composition root sees this class."""

    server_name: ServerName = _LOCAL_SERVER_NAME
    data_dir: Path = Path("data")
    database: SqliteFile | PostgresUrl = SqliteFile(Path("tremula.db"))
    public_base_url: str | None = None
    default_room_version: str = DEFAULT_ROOM_VERSION
    listeners: tuple[Listener, ...] = (Listener(),)
    registration: Registration = Registration()
    password_hashing: PasswordHashing = PasswordHashing()
    tokens: Tokens = Tokens()
    presence: Presence = Presence()
    delayed_events: DelayedEvents = DelayedEvents()
    federation: Federation = Federation()
    outbound: Outbound = Outbound()
    mail: Mail = Mail()
    third_party: ThirdParty = ThirdParty()
    media: Media = Media()
    url_previews: UrlPreviews = UrlPreviews()
    user_directory: UserDirectory = UserDirectory()
    rooms: Rooms = Rooms()
    server_notices: ServerNotices = ServerNotices()
    appservices: Appservices = Appservices()
    turn: Turn = Turn()
    rtc: Rtc = Rtc()
    support: Support = Support()
    cluster: Cluster = Cluster()
    rate_limits: RateLimits = RateLimits()
    caches: Caches = Caches()
    logging: Logging = Logging()

    @property
    def is_exposed(self) -> bool:
        """Whether others than the programs of this machine may reach the server.

        A listener on loopback is exposed as well if a proxy stands before it.
        """
        return (
            self.public_base_url is not None
            or self.federation.delegate is not None
            or any(
                not listener.is_loopback or listener.trusted_proxies
                for listener in self.listeners
            )
        )
