"""Builds what administrators moderate with."""

from msgspec import Struct

from tremula.assembly.base import Base, Engine, People
from tremula.features.account_moderation import routes as account_moderation_routes
from tremula.features.account_moderation.service import AccountModeration
from tremula.features.reports import admin_routes as reports_admin_routes
from tremula.features.reports import routes as reports_routes
from tremula.features.reports.service import Reports


class Moderation(Struct, frozen=True):
    """What the command line uses, too."""

    accounts: AccountModeration
    reports: Reports


def add_moderation(base: Base, engine: Engine, people: People) -> Moderation:
    """Accounts that are locked or suspended, and reports."""
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
    return Moderation(accounts, reports)
