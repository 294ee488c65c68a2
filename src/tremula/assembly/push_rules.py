"""Builds push rules, and the marking of events by them."""

from tremula.assembly.base import Base, Engine, People, Reading
from tremula.features.push import routes as push_routes
from tremula.features.push.invitations import InvitationMarker
from tremula.features.push.marking import PushMarker
from tremula.features.push.service import PushRules
from tremula.features.push.unread import UnreadCounts
from tremula.features.receipts.service import Receipts
from tremula.features.thread_subscriptions.service import ThreadSubscribers


def build_push_rules(base: Base, engine: Engine) -> PushRules:
    """The rules of users, by which rooms mark events from now on."""
    rules = PushRules(base.database, base.journal, engine.memberships)
    base.metrics.caches.watch("push_rules", rules.cache)
    base.router.add(push_routes, rules)
    marker = PushMarker(
        db=base.database,
        journal=base.journal,
        events=engine.events,
        rules=rules,
        subscribers=ThreadSubscribers(base.database),
        server_name=base.server_name,
    )
    base.metrics.caches.watch("push_threads", marker.threads)
    engine.reader.registry.markers.add(marker)
    engine.outside.add_marker(InvitationMarker(rules))
    return rules


def build_reading(
    base: Base, engine: Engine, people: People, receipts: Receipts
) -> Reading:
    """What users have read by *receipts*, and what they have not."""
    unread = UnreadCounts(
        db=base.database,
        journal=base.journal,
        memberships=engine.memberships,
        receipts=receipts,
        rules=people.push_rules,
    )
    base.metrics.caches.watch("unread", unread.cache)
    return Reading(receipts=receipts, unread=unread)
