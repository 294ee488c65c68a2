"""Builds what notifies users who look elsewhere."""

from tremula.assembly.base import Base, People
from tremula.features.pushers import routes as pushers_routes
from tremula.features.pushers.service import Pushers


def add_pushers(base: Base, people: People) -> Pushers:
    """Pushers, as clients set them."""
    pushers = Pushers(base.database, base.journal, base.clock, addresses=None)
    base.router.add(pushers_routes, pushers)
    people.accounts.devices.observe(pushers)
    return pushers
