"""Builds what is told of events that relate to each other."""

from tremula.assembly.base import Base, Engine, People
from tremula.features.relations import routes, threads_routes
from tremula.features.relations.service import Relations
from tremula.features.relations.threads import Threads


def add_relations(base: Base, engine: Engine, people: People) -> None:
    """Relations and threads."""
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
        threads_routes,
        Threads(
            base.database,
            engine.access,
            engine.events,
            engine.serializer,
            people.account_data,
        ),
    )
