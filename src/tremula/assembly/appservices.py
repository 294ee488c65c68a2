"""Builds what bridges and other application services use."""

from tremula.assembly.base import Base, People
from tremula.features.appservice_administration import routes as administration_routes
from tremula.features.appservice_administration.service import (
    AppserviceAdministration,
)
from tremula.features.appservice_transactions.service import Backlog, Deliveries
from tremula.features.appservices import opening
from tremula.features.appservices.authentication import TokenOwners
from tremula.features.appservices.service import Appservices
from tremula.features.bridge_reports.service import BridgeReports
from tremula.features.user_appservices import routes as user_appservices_routes
from tremula.features.user_appservices.service import UserAppservices
from tremula.infra.config import Config
from tremula.infra.metrics import Metrics
from tremula.infra.process import Process
from tremula.infra.supervisor import Supervisor


async def open_appservices(
    config: Config, process: Process, metrics: Metrics, supervisor: Supervisor
) -> Appservices:
    """Those that there are, for everything else to ask."""
    appservices, changed = await opening.open_appservices(
        process.database,
        process.journal,
        config.server_name,
        config.appservices.files,
    )
    metrics.caches.watch("appservices_of_users", appservices.cache)
    metrics.caches.count("appservices", appservices.__len__)
    if not process.journal.is_alone:

        async def announce() -> None:
            appservices.announce(changed)

        supervisor.run_once("appservice_files", announce)
    return appservices


def build_token_owners(
    base: Base, people: People, deliveries: Deliveries
) -> TokenOwners:
    """Whoever makes requests of clients."""
    owners = TokenOwners(
        sessions=people.sessions,
        appservices=base.appservices,
        users=people.accounts.users,
        devices=people.accounts.devices,
        journal=base.journal,
        on_sighting=people.last_seen.record,
        on_request=deliveries.heard_from,
    )
    base.metrics.caches.watch("appservice_users", owners.cache)
    return owners


def add_user_appservices(base: Base, people: People) -> None:
    """The bridges that users add for themselves."""
    config = base.config.appservices
    bridges = UserAppservices(
        appservices=base.appservices,
        users=people.accounts.users,
        journal=base.journal,
        each_max=config.users_may_add,
        urls_may_be_private=config.users_urls_may_be_private,
    )
    base.router.add(user_appservices_routes, bridges)


def add_appservice_administration(
    base: Base, backlog: Backlog
) -> AppserviceAdministration:
    """What operators see and change."""
    administration = AppserviceAdministration(
        base.appservices, backlog, BridgeReports(base.database)
    )
    base.router.add(administration_routes, administration)
    return administration
