"""Builds what administrators moderate with."""

from msgspec import Struct

from tremula.assembly.base import Base, Engine, People
from tremula.features.account_moderation import routes as account_moderation_routes
from tremula.features.account_moderation.service import AccountModeration
from tremula.features.directory.service import Directory
from tremula.features.reports import admin_routes as reports_admin_routes
from tremula.features.reports import routes as reports_routes
from tremula.features.reports.service import Reports
from tremula.features.room_deletions import admin_routes as room_deletions_routes
from tremula.features.room_deletions.overview import RoomOverview
from tremula.features.room_deletions.service import Collaborators, RoomDeletions
from tremula.features.search.service import Search
from tremula.features.server_notices import admin_routes as notices_routes
from tremula.features.server_notices.service import ServerNotices
from tremula.protocol.room_versions import get_room_version


class Moderation(Struct, frozen=True):
    """What the command line uses, too."""

    accounts: AccountModeration
    reports: Reports
    rooms: RoomOverview
    notices: ServerNotices


def add_moderation(
    base: Base, engine: Engine, people: People, directory: Directory, search: Search
) -> Moderation:
    """Accounts that are locked or suspended, reports, and rooms that are deleted."""
    accounts = AccountModeration(
        base.journal,
        people.accounts.users,
        people.sessions,
        people.accounts.devices,
    )
    base.router.add(account_moderation_routes, accounts)
    reports = Reports(
        base.database,
        base.journal,
        base.clock,
        engine.reader,
        engine.events,
        engine.visibility,
    )
    base.router.add(reports_routes, reports)
    base.router.add(reports_admin_routes, reports)
    rooms = _add_room_deletions(base, engine, directory, search)
    notices = _add_notices(base, engine, people)
    return Moderation(accounts, reports, rooms, notices)


def _add_notices(base: Base, engine: Engine, people: People) -> ServerNotices:
    notices = ServerNotices(
        base.database,
        engine.rooms,
        engine.reader,
        people.accounts,
        people.account_data,
        base.config.server_notices,
        get_room_version(base.config.default_room_version),
    )
    base.router.add(notices_routes, notices)
    return notices


def _add_room_deletions(
    base: Base, engine: Engine, directory: Directory, search: Search
) -> RoomOverview:
    deletions = RoomDeletions(
        base.database,
        base.journal,
        base.slots,
        base.clock,
        Collaborators(
            engine.rooms, engine.reader, directory, base.blocked_rooms, search
        ),
    )
    base.supervisor.keep_running("room_deletions", deletions.run)
    rooms = RoomOverview(base.database, engine.reader, base.blocked_rooms, deletions)
    base.router.add(room_deletions_routes, rooms)
    return rooms
