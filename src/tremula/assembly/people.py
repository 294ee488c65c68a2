"""Builds accounts, and what belongs to users."""

from tremula.assembly.base import Base, Engine, People, ThirdPartyServices
from tremula.assembly.push_rules import build_push_rules
from tremula.assembly.third_party import add_contacts, build_third_party
from tremula.features.account import routes as account_routes
from tremula.features.account.departures import Departures
from tremula.features.account.service import AccountHooks, Accounts, UserHook
from tremula.features.account_data import routes as account_data_routes
from tremula.features.account_data import tag_routes
from tremula.features.account_data.service import AccountData
from tremula.features.account_data.tags import Tags
from tremula.features.appservice_queries.service import AppserviceQueries
from tremula.features.delayed_events.erasure import DelayedEventErasure
from tremula.features.device_keys.erasure import KeyErasure
from tremula.features.device_lists.service import DeviceLists
from tremula.features.devices import routes as devices_routes
from tremula.features.devices.last_seen import LastSeen
from tremula.features.devices.service import Devices
from tremula.features.federation_handshakes.service import RemoteMemberships
from tremula.features.filters import routes as filters_routes
from tremula.features.filters.service import Filters
from tremula.features.key_backup import routes as key_backup_routes
from tremula.features.key_backup.service import KeyBackup
from tremula.features.login import routes as login_routes
from tremula.features.login.service import Logins
from tremula.features.login.tokens import LoginTokens
from tremula.features.media.erasure import MediaErasure
from tremula.features.membership.departure import Departure
from tremula.features.membership.guest_eviction import GuestEviction
from tremula.features.openid import federation as openid_federation
from tremula.features.openid import routes as openid_routes
from tremula.features.openid.service import OpenIdTokens
from tremula.features.presence import routes as presence_routes
from tremula.features.presence.audience import Audience
from tremula.features.presence.service import Presence
from tremula.features.profiles import federation as profiles_federation
from tremula.features.profiles import routes as profiles_routes
from tremula.features.profiles.propagation import ProfilePropagation
from tremula.features.profiles.remote import RemoteProfiles
from tremula.features.profiles.service import Profiles
from tremula.features.push.service import PushRules
from tremula.features.pushers.erasure import PusherErasure
from tremula.features.registration import routes as registration_routes
from tremula.features.registration import shared_secret_routes
from tremula.features.registration.routes import RegisterEdge
from tremula.features.registration.service import Registrations
from tremula.features.registration.shared_secret import SharedSecretRegistration
from tremula.features.registration.terms import check_terms, terms_params
from tremula.features.registration.tokens import RegistrationTokens
from tremula.features.remote_devices.noting import note_own_change
from tremula.features.sessions import routes as sessions_routes
from tremula.features.sessions.service import Sessions
from tremula.features.third_party.registering import NewUsersContacts
from tremula.features.third_party.stage import EmailStage
from tremula.features.thread_subscriptions.service import SubscriptionErasure
from tremula.features.uia import routes as uia_routes
from tremula.features.uia.flows import Stage
from tremula.features.uia.password import PasswordStage, check_dummy
from tremula.features.uia.routes import Fallback
from tremula.features.uia.service import Uia
from tremula.features.users.passwords import Passwords
from tremula.features.users.service import Users
from tremula.features.virtual_users.service import VirtualUsers


def _build_profiles(base: Base, engine: Engine) -> Profiles:
    remote = RemoteProfiles(base.federation, base.clock)
    profiles = Profiles(base.database, base.journal, remote, base.server_name)
    base.metrics.caches.watch("profiles", profiles.cache)
    base.metrics.caches.watch("remote_profiles", remote.cache)
    base.router.add(profiles_routes, profiles)
    base.router.add(profiles_federation, profiles)
    propagation = ProfilePropagation(
        db=base.database,
        journal=base.journal,
        profiles=profiles,
        memberships=engine.memberships,
        rooms=engine.rooms,
        reader=engine.reader,
        slots=base.slots,
    )
    base.supervisor.keep_running("profile_propagation", propagation.run)
    return profiles


def _build_account_data(
    base: Base, engine: Engine, push_rules: PushRules
) -> AccountData:
    account_data = AccountData(
        db=base.database,
        journal=base.journal,
        reader=engine.reader,
        memberships=engine.memberships,
        push_rules=push_rules,
    )
    base.metrics.caches.watch("ignored_users", account_data.ignored)
    engine.serializer.aggregations.set_ignored_users(account_data)
    base.router.add(account_data_routes, account_data)
    base.router.add(tag_routes, Tags(account_data))
    return account_data


def build_people(base: Base, engine: Engine, remote: RemoteMemberships) -> People:
    """Accounts and their data; what runs for them."""
    db, journal, clock = base.database, base.journal, base.clock
    profiles = _build_profiles(base, engine)
    push_rules = build_push_rules(base, engine)
    account_data = _build_account_data(base, engine, push_rules)
    filters = Filters(db, clock)
    base.metrics.caches.watch("filters", filters.cache)
    base.router.add(filters_routes, filters)
    audience = Audience(engine.reader, engine.memberships)
    presence = Presence(
        db=db,
        journal=journal,
        audience=audience,
        clock=clock,
        enabled=base.config.presence.enabled,
    )
    base.router.add(presence_routes, presence)
    base.supervisor.keep_running("presence", presence.run)
    device_lists = DeviceLists(
        db, journal, base.server_name, engine.memberships, note_own_change
    )
    key_backup = KeyBackup(db)
    base.router.add(key_backup_routes, key_backup)
    third_party = build_third_party(base, engine)
    accounts, sessions, last_seen, tokens = _build_accounts(
        base,
        engine,
        remote,
        profiles,
        third_party,
        on_erased=(
            profiles.erase,
            account_data.erase,
            filters.erase,
            presence.erase,
            KeyErasure(journal, device_lists).erase,
            key_backup.erase,
            push_rules.erase,
            *_media_erasure(base),
        ),
    )
    _add_openid(base, accounts.users)
    add_contacts(base, third_party, accounts.uia)
    return People(
        accounts=accounts,
        tokens=tokens,
        sessions=sessions,
        last_seen=last_seen,
        profiles=profiles,
        push_rules=push_rules,
        account_data=account_data,
        filters=filters,
        presence=presence,
        audience=audience,
        device_lists=device_lists,
        third_party=third_party,
        queries=AppserviceQueries(base.appservices, accounts.users),
    )


def _media_erasure(base: Base) -> tuple[UserHook, ...]:
    if not base.config.media.erase_with_account:
        return ()
    return (MediaErasure(base.database, base.clock).erase,)


def _build_accounts(
    base: Base,
    engine: Engine,
    remote: RemoteMemberships,
    profiles: Profiles,
    third_party: ThirdPartyServices,
    on_erased: tuple[UserHook, ...],
) -> tuple[Accounts, Sessions, LastSeen, RegistrationTokens]:
    config, db, journal, clock = base.config, base.database, base.journal, base.clock
    users = Users(db, journal, Passwords(config.password_hashing), base.server_name)
    last_seen = LastSeen(journal)
    base.supervisor.keep_running("last_seen", last_seen.run)
    sessions = Sessions(
        db=db,
        journal=journal,
        clock=clock,
        users=users,
        lifetimes=config.tokens,
        on_sighting=last_seen.record,
    )
    base.router.add(sessions_routes, sessions)
    tokens = RegistrationTokens(db, journal, clock)
    uia = _build_uia(base, users, tokens, third_party)
    devices = Devices(db, journal, clock, sessions, uia)
    base.router.add(devices_routes, devices)
    _evict_guests(base, engine, users)
    departure = Departure(engine.rooms, engine.memberships, remote)
    accounts = Accounts(
        journal,
        clock,
        users,
        devices,
        sessions,
        uia,
        AccountHooks(
            on_registered=profiles.create,
            on_erasing=engine.erasures.add,
            on_deactivated=(
                departure.leave_all,
                DelayedEventErasure(journal).erase,
                PusherErasure(journal).erase,
                third_party.ids.remove_all,
                base.appservices.remove_owned,
            ),
            on_erased=(*on_erased, SubscriptionErasure(journal).erase),
        ),
    )
    base.router.add(account_routes, accounts)
    virtual_users = VirtualUsers(journal, accounts, base.appservices)
    _add_login(base, accounts, third_party, virtual_users)
    departures = Departures(accounts, base.slots)
    base.supervisor.keep_running("departures", departures.run)
    _add_registration(base, accounts, tokens, third_party, virtual_users)
    return accounts, sessions, last_seen, tokens


def _add_login(
    base: Base,
    accounts: Accounts,
    third_party: ThirdPartyServices,
    virtual_users: VirtualUsers,
) -> None:
    logins = Logins(
        accounts.users,
        accounts.devices,
        LoginTokens(base.journal, base.clock, accounts.devices),
        third_party.ids.owner_of,
        virtual_users,
        base.limiter,
    )
    base.router.add(login_routes, logins)


def _build_uia(
    base: Base,
    users: Users,
    tokens: RegistrationTokens,
    third_party: ThirdPartyServices,
) -> Uia:
    password = PasswordStage(users, base.limiter)
    stages = {
        Stage.PASSWORD: password.check,
        Stage.DUMMY: check_dummy,
        Stage.REGISTRATION_TOKEN: tokens.check,
    }
    if base.mailer is not None:
        stages[Stage.EMAIL] = EmailStage(third_party.validations).check
    params: dict[Stage, object] = {}
    if documents := base.config.registration.terms:
        stages[Stage.TERMS] = check_terms
        params[Stage.TERMS] = terms_params(documents)
    take_ups = {Stage.PASSWORD: password.take_up}
    uia = Uia(base.database, base.journal, base.clock, stages, params, take_ups)
    base.router.add(uia_routes, Fallback(uia, base.server_name, documents))
    base.supervisor.keep_running("uia_sweep", uia.run)
    return uia


def _add_openid(base: Base, users: Users) -> None:
    tokens = OpenIdTokens(
        base.database, base.journal, base.clock, users, base.server_name
    )
    base.router.add(openid_routes, tokens)
    base.router.add(openid_federation, tokens)


def _add_registration(
    base: Base,
    accounts: Accounts,
    tokens: RegistrationTokens,
    third_party: ThirdPartyServices,
    virtual_users: VirtualUsers,
) -> None:
    registrations = Registrations(
        base.journal,
        base.clock,
        accounts,
        NewUsersContacts(third_party.ids, third_party.invitations),
        base.appservices,
        tokens,
        base.config.registration,
    )
    base.router.add(
        registration_routes, RegisterEdge(registrations, virtual_users, base.limiter)
    )
    shared_secret = SharedSecretRegistration(
        journal=base.journal,
        clock=base.clock,
        accounts=accounts,
        devices=accounts.devices,
        shared_secret=base.config.registration.shared_secret,
    )
    base.router.add(shared_secret_routes, shared_secret)


def _evict_guests(base: Base, engine: Engine, users: Users) -> None:
    evictions = GuestEviction(
        journal=base.journal,
        rooms=engine.rooms,
        reader=engine.reader,
        guests_among=users.guests_among,
        server_name=base.server_name,
        slots=base.slots,
        clock=base.clock,
    )
    base.supervisor.keep_running("guest_eviction", evictions.run)
