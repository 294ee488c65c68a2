"""Builds what bridges keep for users."""

from tremula.assembly.base import Base, Engine, People
from tremula.features.mutes.service import MUTE, Mutes
from tremula.features.time_sync import routes as time_sync_routes


def add_bridged_user_data(base: Base, engine: Engine, people: People) -> None:
    """Mutes by account data, and the time."""
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
    base.router.add(time_sync_routes, base.clock)
