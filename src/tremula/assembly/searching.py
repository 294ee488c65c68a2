"""Builds what finds messages and people."""

from tremula.assembly.base import Base, Engine, People
from tremula.features.mutual_rooms import routes as mutual_rooms_routes
from tremula.features.search import routes as search_routes
from tremula.features.search.indexing import SearchIndex
from tremula.features.search.judging import Judge
from tremula.features.search.routes import SearchServices
from tremula.features.search.service import Search
from tremula.features.search.surroundings import Surroundings
from tremula.features.user_directory import routes as user_directory_routes
from tremula.features.user_directory.indexing import UserTerms
from tremula.features.user_directory.service import UserDirectory
from tremula.infra.db import Database, Statements
from tremula.rooms import following_storage
from tremula.rooms.acquaintances import Acquaintances
from tremula.rooms.following import Derived, Follower


def add_searching(base: Base, engine: Engine, people: People) -> Search:
    """Searching messages, people, and the rooms shared with somebody."""
    search = _add_search(base, engine, people)
    acquaintances = Acquaintances(base.database, engine.events, engine.memberships)
    base.router.add(mutual_rooms_routes, acquaintances)
    directory = UserDirectory(
        base.database,
        _follower(base, UserTerms(engine.events)),
        acquaintances,
        people.accounts.users,
        people.profiles,
        people.account_data,
        base.config.user_directory.show_all_local_users,
    )
    base.router.add(user_directory_routes, directory)
    return search


async def rebuild_indexes(database: Database) -> None:
    """Have all that can be searched indexed anew, from the next start on."""
    unit = Statements()
    following_storage.delete_progress(unit)
    await database.commit(unit)


def _add_search(base: Base, engine: Engine, people: People) -> Search:
    search = Search(
        base.database,
        _follower(base, SearchIndex(base.database, engine.events)),
        Judge(engine.access, engine.events, engine.erasures),
        engine.memberships,
        people.account_data,
    )
    surroundings = Surroundings(engine.reader, engine.events, engine.serializer)
    base.router.add(search_routes, SearchServices(search, surroundings))
    return search


def _follower(base: Base, derived: Derived) -> Follower:
    follower = Follower(base.database, base.journal, base.slots, derived)
    base.supervisor.keep_running(f"index_{derived.name}", follower.run)
    return follower
