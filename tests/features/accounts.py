"""The accounts' services alone, over HTTP, with every policy in the test's hands."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.fakes.clock import FakeClock
from tests.http_client import Client, HttpResponse
from tremula.features.account import routes as account_routes
from tremula.features.account.service import AccountHooks, Accounts
from tremula.features.appservices.authentication import TokenOwners
from tremula.features.appservices.service import Appservices
from tremula.features.capabilities import routes as capabilities_routes
from tremula.features.capabilities.service import Capabilities
from tremula.features.devices import routes as devices_routes
from tremula.features.devices.service import Devices, LastSeen
from tremula.features.login import routes as login_routes
from tremula.features.login.service import Logins
from tremula.features.login.tokens import LoginTokens
from tremula.features.registration import routes as registration_routes
from tremula.features.registration import shared_secret_routes
from tremula.features.registration.routes import RegisterEdge
from tremula.features.registration.service import Registrations
from tremula.features.registration.shared_secret import SharedSecretRegistration
from tremula.features.registration.tokens import RegistrationTokens
from tremula.features.sessions import routes as sessions_routes
from tremula.features.sessions.service import Sessions
from tremula.features.third_party.service import ThirdPartyIds
from tremula.features.uia import routes as uia_routes
from tremula.features.uia.password import PasswordStage, check_dummy
from tremula.features.uia.routes import Fallback
from tremula.features.uia.service import Stage, Uia
from tremula.features.users.service import Passwords, Users
from tremula.features.virtual_users.service import VirtualUsers
from tremula.features.wellknown import routes as wellknown_routes
from tremula.features.wellknown.service import WellKnown
from tremula.infra.config import (
    PasswordHashing,
    RateLimits,
    Registration,
    RegistrationMode,
    Tokens,
)
from tremula.infra.db import Database
from tremula.infra.http import Router
from tremula.infra.http.application import Application
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.metrics import Metrics
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.identifiers import ServerName, UserId

PASSWORD: Final = "correct horse"
CHEAP_HASHING: Final = PasswordHashing(time_cost=1, memory_kib=8, parallelism=1)
OPEN: Final = Registration(
    mode=RegistrationMode.OPEN, guests=True, shared_secret="sesame"
)

LASTING: Final = Tokens()
UNLIMITED: Final = RateLimits(enabled=False)


@dataclass(slots=True)
class Hooks:
    """What the hooks of the accounts were called with."""

    registered: list[tuple[str, str]] = field(default_factory=list)
    erasing: list[str] = field(default_factory=list)
    deactivated: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)

    def on_registered(
        self, unit: JournalUnit, user_id: UserId, displayname: str
    ) -> None:
        self.registered.append((user_id, displayname))

    def on_erasing(self, unit: JournalUnit, user_id: UserId) -> None:
        self.erasing.append(user_id)

    async def on_deactivated(self, user_id: UserId) -> None:
        if user_id in self.failures:
            raise self.failures[user_id]
        self.deactivated.append(user_id)

    async def on_erased(self, user_id: UserId) -> None:
        self.erased.append(user_id)

    def of_accounts(self) -> AccountHooks:
        """These, as accounts call them."""
        return AccountHooks(
            self.on_registered,
            self.on_erasing,
            (self.on_deactivated,),
            (self.on_erased,),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an operator may configure."""

    registration: Registration = OPEN
    lifetimes: Tokens = LASTING
    hashing: PasswordHashing = CHEAP_HASHING
    rate_limits: RateLimits = UNLIMITED
    base_url: str | None = None
    delegate: ServerName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsServer:
    """A server with accounts and nothing else, as one process would have it."""

    database: Database
    journal: Journal
    clock: FakeClock
    hooks: Hooks
    users: Users
    last_seen: LastSeen
    sessions: Sessions
    uia: Uia
    accounts: Accounts
    tokens: RegistrationTokens
    appservices: Appservices
    token_owners: TokenOwners
    router: Router
    client: Client

    def with_token(self, token: str) -> Client:
        """A client with an access token."""
        return Client(self.client.app, token)

    async def register(self, username: str, **body: object) -> dict[str, Any]:
        """Register with ``PASSWORD``; returns the body of the answer."""
        response = await self.client.post(
            "/v3/register",
            {
                "username": username,
                "password": PASSWORD,
                "auth": {"type": "m.login.dummy"},
                **body,
            },
        )
        assert response.status == 200, response
        answer: dict[str, Any] = response.json
        return answer

    async def log_in(self, user: str, **body: object) -> HttpResponse:
        """Log in with ``PASSWORD``, unless *body* says otherwise."""
        return await self.client.post("/v3/login", login_body(user, **body))

    async def user(self, username: str, **body: object) -> Client:
        """A client of a new user."""
        answer = await self.register(username, **body)
        return self.with_token(answer["access_token"])


class NoContacts:
    """Nobody proves an address without the stage for it."""

    table = "none"

    def add_to(self, unit: JournalUnit, user_id: UserId, address: EmailAddress) -> None:
        raise AssertionError

    async def deliver(self, user_id: UserId, address: EmailAddress) -> None:
        raise AssertionError


def login_body(user: str, **body: object) -> dict[str, object]:
    """A request of CS ``login``."""
    return {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user},
        "password": PASSWORD,
        **body,
    }


async def start_accounts(
    database: Database, policy: Policy, clock: FakeClock
) -> AccountsServer:
    """Build the services as ``app.py`` does, for a process alone."""
    return build_accounts(database, await Journal.open(database), policy, clock)


def build_accounts(
    database: Database, journal: Journal, policy: Policy, clock: FakeClock
) -> AccountsServer:
    """Build the services of one of several processes."""
    hooks = Hooks()
    limiter = RateLimiter(policy.rate_limits, clock)
    users = Users(database, journal, Passwords(policy.hashing), ServerName("test"))
    last_seen = LastSeen(journal)
    sessions = Sessions(
        db=database,
        journal=journal,
        clock=clock,
        users=users,
        lifetimes=policy.lifetimes,
        on_sighting=last_seen.record,
    )
    tokens = RegistrationTokens(database, journal, clock)
    password = PasswordStage(users, limiter)
    checks = {
        Stage.PASSWORD: password.check,
        Stage.DUMMY: check_dummy,
        Stage.REGISTRATION_TOKEN: tokens.check,
    }
    take_ups = {Stage.PASSWORD: password.take_up}
    uia = Uia(database, journal, clock, checks, {}, take_ups)
    devices = Devices(database, journal, clock, sessions, uia)
    accounts = Accounts(
        journal, clock, users, devices, sessions, uia, hooks.of_accounts()
    )
    appservices = Appservices(database, journal, ServerName("test"))
    router = _route(accounts, tokens, policy, appservices, limiter)
    token_owners = _token_owners(accounts, appservices, last_seen)
    application = Application(
        router=router,
        authenticator=token_owners,
        limiter=limiter,
        metrics=Metrics(),
    )
    return AccountsServer(
        database=database,
        journal=journal,
        clock=clock,
        hooks=hooks,
        users=users,
        last_seen=last_seen,
        sessions=sessions,
        uia=uia,
        accounts=accounts,
        tokens=tokens,
        appservices=appservices,
        token_owners=token_owners,
        router=router,
        client=Client(application.for_listener()),
    )


def _token_owners(
    accounts: Accounts, appservices: Appservices, last_seen: LastSeen
) -> TokenOwners:
    return TokenOwners(
        sessions=accounts.sessions,
        appservices=appservices,
        users=accounts.users,
        devices=accounts.devices,
        journal=accounts.journal,
        on_sighting=last_seen.record,
        on_request=lambda _: None,
    )


def _route(
    accounts: Accounts,
    tokens: RegistrationTokens,
    policy: Policy,
    appservices: Appservices,
    limiter: RateLimiter,
) -> Router:
    journal, clock = accounts.journal, accounts.clock
    devices = accounts.devices
    router = Router()
    router.add(account_routes, accounts)
    router.add(uia_routes, Fallback(accounts.uia, "test", ()))
    router.add(devices_routes, devices)
    login_tokens = LoginTokens(journal, clock, devices)
    virtual_users = VirtualUsers(journal, accounts, appservices)
    ids = ThirdPartyIds(accounts.users.db, journal, clock)
    router.add(
        login_routes,
        Logins(
            accounts.users,
            devices,
            login_tokens,
            ids.owner_of,
            virtual_users,
            limiter,
        ),
    )
    router.add(sessions_routes, accounts.sessions)
    router.add(wellknown_routes, WellKnown(policy.base_url, policy.delegate))
    router.add(
        capabilities_routes,
        Capabilities(
            default_room_version="12",
            unstable_features={"org.x": True},
            delayed_events={},
        ),
    )
    registrations = Registrations(
        journal,
        clock,
        accounts,
        NoContacts(),
        appservices,
        tokens,
        policy.registration,
    )
    router.add(registration_routes, RegisterEdge(registrations, virtual_users, limiter))
    router.add(
        shared_secret_routes,
        SharedSecretRegistration(
            journal=journal,
            clock=clock,
            accounts=accounts,
            devices=devices,
            shared_secret=policy.registration.shared_secret,
        ),
    )
    return router
