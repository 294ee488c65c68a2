"""Builds push rules, and the marking of events by them."""

from tremula.assembly.base import Base, Engine
from tremula.features.push import routes as push_routes
from tremula.features.push.marking import PushMarker
from tremula.features.push.service import PushRules


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
        server_name=base.server_name,
    )
    base.metrics.caches.watch("push_threads", marker.threads)
    engine.reader.registry.set_marker(marker)
    return rules
