"""Builds what notifies users who look elsewhere, and the list of what did."""

from tremula.assembly.base import Base, Engine, People, Reading
from tremula.features.notifications import routes as notifications_routes
from tremula.features.notifications.service import Notifications
from tremula.features.push.service import NotifiedEvents
from tremula.features.pushers import routes as pushers_routes
from tremula.features.pushers import unsubscribe_routes
from tremula.features.pushers.deliveries import Courier, Deliveries
from tremula.features.pushers.email_courier import EmailCourier, MailOrigin
from tremula.features.pushers.gateway import PushGateways
from tremula.features.pushers.http_courier import HttpCourier
from tremula.features.pushers.metrics import PushMetrics
from tremula.features.pushers.notified import UnreadNotifications
from tremula.features.pushers.pushed_users import PushedUsers
from tremula.features.pushers.pusher import Kind
from tremula.features.pushers.service import Pushers
from tremula.features.pushers.subjects import Subjects
from tremula.features.pushers.watch import Watch


def add_pushers(base: Base, engine: Engine, people: People, reading: Reading) -> None:
    """Pushers as clients set them, what they deliver, and the list of it."""
    db, journal, receipts = base.database, base.journal, reading.receipts
    notified = NotifiedEvents(
        db, journal, people.push_rules, engine.memberships, engine.reader
    )
    addresses = None if base.mailer is None else people.third_party.ids
    devices = people.accounts.devices
    pushers = Pushers(db, journal, base.clock, addresses, devices)
    if addresses is not None:
        addresses.on_removed(pushers.address_removed)
    base.router.add(pushers_routes, pushers)
    base.router.add(unsubscribe_routes, pushers)
    devices.observe(pushers)
    unread = UnreadNotifications(notified, receipts, reading.unread)
    users = PushedUsers(db, journal, engine.memberships, engine.reader)
    base.metrics.caches.count("push_rooms", users.count_rooms)
    metrics = PushMetrics.registered(base.metrics.registry)
    deliveries = Deliveries(
        db=db,
        journal=journal,
        clock=base.clock,
        slots=base.slots,
        users=users,
        couriers=_couriers(base, engine, people, pushers, unread, metrics),
    )
    metrics.watch_waiting(deliveries.count_waiting)
    watch = Watch(journal, users, people.push_rules, deliveries)
    base.supervisor.keep_running("push_deliveries", deliveries.run)
    base.supervisor.keep_running("push_watch", watch.run)
    base.router.add(
        notifications_routes,
        Notifications(
            notified,
            receipts,
            engine.outside,
            engine.reader,
            engine.events,
            engine.visibility,
            engine.serializer,
        ),
    )


def _couriers(
    base: Base,
    engine: Engine,
    people: People,
    pushers: Pushers,
    unread: UnreadNotifications,
    metrics: PushMetrics,
) -> dict[Kind, Courier]:
    subjects = Subjects(
        engine.reader,
        engine.events,
        engine.memberships,
        engine.outside,
        engine.serializer,
        people.account_data,
    )
    couriers: dict[Kind, Courier] = {
        Kind.HTTP: HttpCourier(
            pushers=pushers,
            journal=base.journal,
            clock=base.clock,
            slots=base.slots,
            gateways=PushGateways(base.web, metrics),
            notifications=unread,
            subjects=subjects,
        )
    }
    if base.mailer is not None:
        base_url = base.config.public_base_url or f"https://{base.server_name}"
        couriers[Kind.EMAIL] = EmailCourier(
            db=base.database,
            journal=base.journal,
            clock=base.clock,
            slots=base.slots,
            pushers=pushers,
            mailer=base.mailer,
            notifications=unread,
            subjects=subjects,
            origin=MailOrigin(base.server_name, base_url.rstrip("/")),
        )
    return couriers
