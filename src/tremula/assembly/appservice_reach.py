"""Builds the ways to application services, and what comes from them by these."""

from tremula.assembly.appservice_transactions import Transactions
from tremula.assembly.base import Base
from tremula.features.appservice_pings import routes as pings_routes
from tremula.features.appservice_pings.service import AppservicePings
from tremula.features.appservice_requests.http import HttpWay
from tremula.features.appservice_requests.service import AppserviceRequests
from tremula.features.appservice_websockets import routes as websockets_routes
from tremula.features.appservice_websockets.routes import OpeningWebsockets
from tremula.features.appservice_websockets.service import AppserviceWebsockets
from tremula.features.bridge_reports import routes as reports_routes
from tremula.features.bridge_reports.routes import Reporting
from tremula.features.bridge_reports.service import ReportMetrics, ReportTaker


def add_appservice_reach(base: Base, transactions: Transactions) -> AppserviceRequests:
    """How application services are asked; also by the websockets that they open."""
    deliveries = transactions.deliveries
    taker = ReportTaker(
        base.database,
        base.clock,
        base.appservices,
        base.supervisor,
        ReportMetrics.registered(base.metrics.registry),
    )
    base.appservices.on_changed(taker.changed)
    base.router.add(reports_routes, Reporting(base.appservices, taker))
    websockets = AppserviceWebsockets(
        db=base.database,
        appservices=base.appservices,
        journal=base.journal,
        clock=base.clock,
        supervisor=base.supervisor,
        commands={
            "bridge_status": taker.record_state,
            "message_checkpoint": taker.record_checkpoints,
        },
    )
    websockets.on_connected(deliveries.is_back)
    base.metrics.caches.count("appservice_websockets", lambda: websockets.count)
    if not base.journal.is_alone:
        base.supervisor.keep_running("appservice_websockets", websockets.run)
    opening = OpeningWebsockets(base.appservices, websockets)
    base.router.add(websockets_routes, opening)
    transactions.couriers.insert(0, websockets)
    requests = AppserviceRequests([HttpWay(base.appservice_http), websockets])
    pings = AppservicePings(base.appservices, requests, deliveries, base.clock)
    base.router.add(pings_routes, pings)
    return requests
