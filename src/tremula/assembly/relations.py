"""Builds what is told of events that relate to each other."""

from tremula.assembly.base import Base, Engine, People
from tremula.features.relations import routes, threads_routes
from tremula.features.relations.service import Relations
from tremula.features.relations.threads import Threads
from tremula.features.thread_subscriptions import (
    routes as thread_subscriptions_routes,
)
from tremula.features.thread_subscriptions.service import ThreadSubscriptions


def add_relations(base: Base, engine: Engine, people: People) -> None:
    """Relations, threads, and who wants to be told of them."""
    base.router.add(
        routes,
        Relations(
            base.database,
            engine.access,
            engine.events,
            engine.serializer,
            engine.places,
            people.account_data,
        ),
    )
    base.router.add(
        thread_subscriptions_routes,
        ThreadSubscriptions(
            base.database,
            base.journal,
            engine.reader,
            engine.events,
            engine.visibility,
        ),
    )
    base.router.add(
        threads_routes,
        Threads(
            base.database,
            engine.access,
            engine.events,
            engine.serializer,
            people.account_data,
        ),
    )
