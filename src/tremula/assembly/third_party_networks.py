"""Builds what asks application services on behalf of users."""

from tremula.assembly.base import Base, People
from tremula.features.appservice_requests.service import AppserviceRequests
from tremula.features.third_party_networks import routes
from tremula.features.third_party_networks.service import ThirdPartyNetworks


def add_third_party_networks(
    base: Base, people: People, requests: AppserviceRequests
) -> None:
    """What is in other networks, and whom and what application services have here."""
    people.queries.ask_by(requests)
    networks = ThirdPartyNetworks(base.appservices, requests, base.clock)
    base.metrics.caches.watch("third_party_protocols", networks.cache)
    base.router.add(routes, networks)
