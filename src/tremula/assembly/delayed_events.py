"""Builds what sends events later."""

from tremula.assembly.base import Base, Engine, People
from tremula.features.delayed_events import routes
from tremula.features.delayed_events.keeper import Keeper
from tremula.features.delayed_events.sending import DelayedSending
from tremula.features.delayed_events.service import DelayedEvents
from tremula.features.messages.service import Messages


def build_delayed_events(
    base: Base, engine: Engine, people: People, messages: Messages
) -> DelayedEvents:
    """Delayed events, sent by *messages*."""
    limits = base.config.delayed_events
    keeper = Keeper(
        db=base.database,
        journal=base.journal,
        clock=base.clock,
        slots=base.slots,
        sending=DelayedSending(
            base.database,
            messages,
            people.accounts.users,
            engine.reader,
            base.limiter,
        ),
        supervisor=base.supervisor,
        max_scheduled=limits.max_scheduled,
    )
    base.supervisor.keep_running("delayed_events", keeper.run)
    delayed = DelayedEvents(base.database, base.journal, base.clock, base.slots, limits)
    base.router.add(routes, delayed)
    return delayed
