"""Builds what speaks with other servers."""

from tremula.assembly.base import Base, Encryption, Engine, Outbound, People
from tremula.features.federation_events import routes as federation_events_routes
from tremula.features.federation_events.service import EventsForServers
from tremula.features.federation_handshakes import exchange_routes, invite_routes
from tremula.features.federation_handshakes import routes as handshakes_routes
from tremula.features.federation_handshakes.departing import OutsideWishes
from tremula.features.federation_handshakes.handshake import Handshakes
from tremula.features.federation_handshakes.intake import Intake
from tremula.features.federation_handshakes.invitations import Invitations, InvitePolicy
from tremula.features.federation_handshakes.inviting import OutgoingInvitations
from tremula.features.federation_handshakes.join_answers import JoinAnswers
from tremula.features.federation_handshakes.joining import RemoteJoins
from tremula.features.federation_handshakes.resident import Resident
from tremula.features.federation_handshakes.restricted_joins import RestrictedJoins
from tremula.features.federation_handshakes.service import RemoteMemberships
from tremula.features.federation_handshakes.state_completion import StateCompletion
from tremula.features.federation_handshakes.third_party_invites import ThirdPartyInvites
from tremula.features.federation_handshakes.told_state import ToldState
from tremula.features.federation_transactions import (
    routes as federation_transactions_routes,
)
from tremula.features.federation_transactions.edus import InboundEdus
from tremula.features.federation_transactions.inbound_metrics import InboundMetrics
from tremula.features.federation_transactions.outbound_events import OutboundEvents
from tremula.features.federation_transactions.pdu_reader import OutboxPdus
from tremula.features.federation_transactions.pdus import InboundPdus
from tremula.features.federation_transactions.service import Transactions
from tremula.features.membership.invite_permission import InvitePermission
from tremula.features.presence.federation import PresenceEdus, PresenceSender
from tremula.features.receipts.early import EarlyReceipts
from tremula.features.receipts.federation import ReceiptEdus, ReceiptSender
from tremula.features.receipts.service import Receipts
from tremula.features.remote_devices.federation import DeviceListEdus, SigningKeyEdus
from tremula.features.remote_devices.telling import LIST_UPDATE, SIGNING_KEY_UPDATE
from tremula.features.server_keys import routes as server_keys_routes
from tremula.features.server_keys.notary import Notary
from tremula.features.server_keys.request_authentication import RequestAuthentication
from tremula.features.server_keys.service import OwnKeys
from tremula.features.to_device.federation import ToDeviceEdus
from tremula.features.to_device.service import EDU_TYPE as TO_DEVICE_EDU
from tremula.features.typing.federation import TypingEdus, TypingSender
from tremula.features.typing.service import Typing
from tremula.infra.federation.durable_edus import TOPIC as DURABLE_EDUS_TOPIC
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.federation.edus import EduHandler
from tremula.infra.federation.heard import HeardServers
from tremula.infra.federation.queue_metrics import QueueMetrics
from tremula.infra.federation.queues import Queues
from tremula.infra.federation.sending import Sender


def build_handshakes(base: Base, engine: Engine) -> RemoteMemberships:
    """How users of one server get into rooms of another."""
    rooms, reader, verifier = engine.rooms, engine.reader, engine.verifier
    own, unsent = base.own, engine.unsent
    told_state = ToldState(engine.past.pdus, verifier)
    handshakes = Handshakes(base.federation, own.key, base.clock)
    inviting = OutgoingInvitations(
        rooms, unsent, handshakes, base.key_ring, told_state, own.name
    )
    resident = Resident(
        Intake(rooms),
        reader,
        unsent,
        verifier,
        RestrictedJoins(reader, own.name),
        JoinAnswers(engine.past, told_state),
        own,
    )
    base.router.add(handshakes_routes, resident)
    base.router.add(exchange_routes, ThirdPartyInvites(resident, inviting))
    completion = StateCompletion(rooms, reader, base.supervisor, base.slots, own.name)
    base.run_with_slots("resume_partial_joins", completion.resume)
    return RemoteMemberships(
        RemoteJoins(handshakes, rooms, reader, verifier, completion, own.name),
        OutsideWishes(handshakes, engine.outside, told_state),
        inviting,
        engine.outside,
        reader,
        own.name,
    )


def build_outbound(base: Base, engine: Engine) -> Outbound:
    """What is sent to other servers, and goes on being sent."""
    metrics = QueueMetrics.registered(base.metrics.registry)
    queues = Queues(
        database=base.database,
        clock=base.clock,
        peers=base.federation.peers,
        sender=Sender(
            base.database,
            base.clock,
            base.federation,
            OutboxPdus(engine.reader, engine.events, base.own),
            metrics,
            base.slots,
            lambda: base.journal.position,
        ),
        slots=base.slots,
        metrics=metrics,
    )
    base.journal.subscribe(DURABLE_EDUS_TOPIC, queues.durable_edu_stored)
    events = OutboundEvents(own=base.server_name, journal=base.journal, queues=queues)
    base.supervisor.keep_running("federation_queues", queues.run)
    base.supervisor.keep_running("outbound_events", events.run)
    return Outbound(
        queues=queues,
        durable_edus=DurableEdus(base.federation.peers, base.clock),
    )


def authentication(base: Base, queues: Queues) -> RequestAuthentication:
    """Who other servers are, by what they sign."""
    heard = HeardServers(base.journal, base.slots, base.clock, queues)
    return RequestAuthentication(
        base.federation.peers, base.key_ring, base.clock, heard.heard_from
    )


def take_transactions(
    base: Base,
    engine: Engine,
    people: People,
    encryption: Encryption,
    receipts: Receipts,
    typing: Typing,
) -> None:
    """Take in what other servers send."""
    reader, clock = engine.reader, base.clock
    metrics = InboundMetrics.registered(base.metrics.registry)
    early_receipts = EarlyReceipts(receipts, base.journal, clock)
    base.supervisor.keep_running("early_receipts", early_receipts.run)
    handlers: dict[str, EduHandler] = {
        "m.typing": TypingEdus(typing, reader),
        "m.receipt": ReceiptEdus(receipts, early_receipts, reader, clock),
        "m.presence": PresenceEdus(people.presence, reader, base.journal, clock),
        TO_DEVICE_EDU: ToDeviceEdus(encryption.to_device),
        LIST_UPDATE: DeviceListEdus(encryption.remote_lists),
        SIGNING_KEY_UPDATE: SigningKeyEdus(encryption.remote_lists),
    }
    invitations = Invitations(
        reader,
        engine.outside,
        engine.verifier,
        ToldState(engine.past.pdus, engine.verifier),
        InvitePolicy(
            people.queries.is_active,
            InvitePermission(people.account_data).is_blocked,
            base.blocked_rooms.is_blocked,
        ),
        base.own,
    )
    base.router.add(invite_routes, invitations)
    pdus = InboundPdus(
        base.server_name,
        reader,
        engine.verifier,
        engine.rooms,
        invitations.withdraw,
        metrics,
    )
    transactions = Transactions(pdus, InboundEdus(handlers, metrics), base.slots)
    base.metrics.caches.watch("transaction_answers", transactions.answers)
    base.router.add(federation_transactions_routes, transactions)


def send_edus(
    base: Base,
    engine: Engine,
    people: People,
    outbound: Outbound,
    typing: Typing,
) -> None:
    """Tell other servers who types, reads and is there."""
    own, journal, clock = base.server_name, base.journal, base.clock
    typing.listen(TypingSender(own, outbound.queues, clock).tell)
    receipts = ReceiptSender(
        own=own,
        journal=journal,
        reader=engine.reader,
        queues=outbound.queues,
        clock=clock,
    )
    base.supervisor.keep_running("receipt_edus", receipts.run)
    presence = PresenceSender(
        own=own,
        journal=journal,
        presence=people.presence,
        audience=people.audience,
        queues=outbound.queues,
        clock=clock,
    )
    base.supervisor.keep_running("presence_edus", presence.run)


def serve_other_servers(base: Base, engine: Engine, own_keys: OwnKeys) -> None:
    """Answer what other servers ask."""
    notary = Notary(base.database, own_keys, base.key_ring, base.clock)
    base.router.add(server_keys_routes, notary)
    serving = EventsForServers(
        engine.reader,
        engine.past,
        engine.events,
        engine.visibility,
        engine.erasures,
        base.clock,
        base.server_name,
    )
    base.router.add(federation_events_routes, serving)
