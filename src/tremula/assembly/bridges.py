"""Builds what is for bridges and other application services."""

from msgspec import Struct

from tremula.assembly.appservice_reach import add_appservice_reach
from tremula.assembly.appservice_transactions import (
    Transactions,
    add_appservice_transactions,
)
from tremula.assembly.appservices import (
    add_appservice_administration,
    add_user_appservices,
)
from tremula.assembly.base import Base, Engine, People
from tremula.features.appservice_administration.service import (
    AppserviceAdministration,
)
from tremula.features.appservice_requests.service import AppserviceRequests
from tremula.features.directory.service import Directory
from tremula.features.mutes.service import MUTE, Mutes
from tremula.features.third_party_networks import routes as networks_routes
from tremula.features.third_party_networks.service import ThirdPartyNetworks
from tremula.features.time_sync import routes as time_sync_routes


class Bridges(Struct, frozen=True):
    """What others use of it."""

    transactions: Transactions
    administration: AppserviceAdministration


def add_bridges(
    base: Base, engine: Engine, people: People, directory: Directory
) -> Bridges:
    """Who application services are, what they are told and asked, and what they keep
    for users.
    """
    _add_mutes(base, engine, people)
    base.router.add(time_sync_routes, base.clock)
    add_user_appservices(base, people)
    transactions = add_appservice_transactions(base, engine, directory)
    requests = add_appservice_reach(base, transactions)
    people.queries.ask_by(requests)
    _add_networks(base, requests)
    administration = add_appservice_administration(base, transactions.backlog)
    return Bridges(transactions, administration)


def _add_mutes(base: Base, engine: Engine, people: People) -> None:
    mutes = Mutes(
        base.database,
        engine.reader,
        people.account_data,
        people.push_rules,
        base.slots,
        base.clock,
    )
    people.account_data.follow(MUTE, mutes.follow)
    base.supervisor.keep_running("mutes", mutes.run)


def _add_networks(base: Base, requests: AppserviceRequests) -> None:
    networks = ThirdPartyNetworks(base.appservices, requests, base.clock)
    base.metrics.caches.watch("third_party_protocols", networks.cache)
    base.router.add(networks_routes, networks)
