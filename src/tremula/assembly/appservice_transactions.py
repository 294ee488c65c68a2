"""Builds what application services are told by."""

from msgspec import Struct

from tremula.assembly.base import Base, Engine
from tremula.features.appservice_transactions.backlog import Backlog
from tremula.features.appservice_transactions.composing import Composer
from tremula.features.appservice_transactions.deliveries import Deliveries
from tremula.features.appservice_transactions.http_courier import HttpCourier
from tremula.features.appservice_transactions.interest import Interests
from tremula.features.appservice_transactions.marking import (
    AppserviceMarker,
    InvitationMarker,
)
from tremula.features.appservice_transactions.metrics import TransactionMetrics
from tremula.features.appservice_transactions.sending import Sender
from tremula.features.appservice_transactions.service import Courier, TransactionPart
from tremula.features.directory.service import Directory


class Transactions(Struct, frozen=True):
    """What other features add to: ``parts``, and ``couriers``, the first of which that
    reaches an application service is taken.
    """

    deliveries: Deliveries
    interests: Interests
    couriers: list[Courier]
    parts: list[TransactionPart]
    backlog: Backlog


def add_appservice_transactions(
    base: Base, engine: Engine, directory: Directory
) -> Transactions:
    """Who is interested in what, and how they are told."""
    interests = Interests(base.appservices, base.journal, directory)
    base.metrics.caches.count("appservice_rooms", interests.__len__)
    engine.reader.registry.markers.add(AppserviceMarker(interests, base.clock))
    engine.outside.add_marker(InvitationMarker(interests, base.clock))
    parts: list[TransactionPart] = []
    couriers: list[Courier] = [HttpCourier(base.appservice_http)]
    composer = Composer(
        base.database,
        base.clock,
        lambda: base.journal.position,
        engine.events,
        engine.serializer,
        parts,
    )
    sender = Sender(
        base.database,
        base.slots,
        base.appservices,
        composer,
        couriers,
        TransactionMetrics.registered(base.metrics.registry),
    )
    deliveries = Deliveries(journal=base.journal, clock=base.clock, sender=sender)
    base.supervisor.keep_running("appservice_deliveries", deliveries.run)
    backlog = Backlog(
        base.database,
        base.journal,
        base.clock,
        base.appservices,
        engine.memberships,
        engine.events,
    )
    return Transactions(deliveries, interests, couriers, parts, backlog)
