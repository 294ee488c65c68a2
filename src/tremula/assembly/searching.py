"""Builds what finds messages and people."""

from tremula.assembly.base import Base, Engine, People
from tremula.features.search import routes as search_routes
from tremula.features.search.indexing import SearchIndex
from tremula.features.search.judging import Judge
from tremula.features.search.routes import SearchServices
from tremula.features.search.service import Search
from tremula.features.search.surroundings import Surroundings
from tremula.rooms.following import Derived, Follower


def add_searching(base: Base, engine: Engine, people: People) -> None:
    """Searching messages, people, and the rooms shared with somebody."""
    _add_search(base, engine, people)


def _add_search(base: Base, engine: Engine, people: People) -> None:
    search = Search(
        base.database,
        _follower(base, engine, SearchIndex(base.database, engine.events)),
        Judge(engine.access, engine.events, engine.erasures),
        engine.memberships,
        people.account_data,
    )
    surroundings = Surroundings(engine.reader, engine.events, engine.serializer)
    base.router.add(search_routes, SearchServices(search, surroundings))


def _follower(base: Base, engine: Engine, derived: Derived) -> Follower:
    follower = Follower(base.database, base.journal, engine.events, base.slots, derived)
    base.supervisor.keep_running(f"index_{derived.name}", follower.run)
    return follower
