"""Builds what application services are told beside events."""

from functools import partial

from tremula.assembly.appservice_transactions import Transactions
from tremula.assembly.base import Base, Encryption, Engine, People
from tremula.assembly.syncing import Syncing
from tremula.features.appservice_encryption.device_lists import AppserviceDeviceLists
from tremula.features.appservice_encryption.key_counts import AppserviceKeyCounts
from tremula.features.appservice_encryption.messages import AppserviceMessages
from tremula.features.appservice_ephemeral.events import EphemeralData
from tremula.features.appservice_ephemeral.service import AppserviceEphemeral
from tremula.features.appservice_transactions.service import Surroundings


def add_appservice_news(
    base: Base,
    engine: Engine,
    people: People,
    encryption: Encryption,
    syncing: Syncing,
    transactions: Transactions,
) -> None:
    """Have typing, receipts, presence, and all that encryption takes, told."""
    surroundings = Surroundings(
        base.server_name,
        transactions.interests,
        engine.reader,
        engine.memberships,
        engine.shared,
    )
    data = EphemeralData(syncing.typing, people.presence, syncing.ephemeral)
    _add_ephemeral(base, transactions, surroundings, data)
    _add_messages(base, transactions, encryption)
    device_lists = AppserviceDeviceLists(
        database=base.database,
        journal=base.journal,
        slots=base.slots,
        appservices=base.appservices,
        surroundings=surroundings,
        device_lists=people.device_lists,
    )
    base.supervisor.keep_running("appservice_device_lists", device_lists.run)
    key_counts = AppserviceKeyCounts(
        journal=base.journal,
        clock=base.clock,
        slots=base.slots,
        appservices=base.appservices,
        devices=people.accounts.devices,
        keys=encryption.one_time_keys,
    )
    base.supervisor.keep_running("appservice_key_counts", key_counts.run)
    for part in (device_lists, key_counts):
        part.on_news(transactions.deliveries.note)
        transactions.parts.append(part)


def _add_ephemeral(
    base: Base,
    transactions: Transactions,
    surroundings: Surroundings,
    data: EphemeralData,
) -> None:
    ephemeral = AppserviceEphemeral(
        journal=base.journal,
        slots=base.slots,
        appservices=base.appservices,
        surroundings=surroundings,
        data=data,
    )
    ephemeral.on_news(transactions.deliveries.note)
    base.metrics.caches.count("appservice_ephemeral", ephemeral.__len__)
    base.supervisor.keep_running("appservice_ephemeral", ephemeral.run)
    transactions.parts.append(ephemeral)


def _add_messages(
    base: Base, transactions: Transactions, encryption: Encryption
) -> None:
    messages = AppserviceMessages(
        base.database, base.journal, base.appservices, encryption.to_device
    )
    encryption.to_device.on_delivered(messages.delivered)
    transactions.parts.append(messages)

    def forget_those_gone(appservice_id: str) -> None:
        if base.appservices.find(appservice_id) is None:
            work = partial(messages.forget, appservice_id)
            base.supervisor.run_once("appservice_messages_deletion", work)

    base.appservices.on_changed(forget_those_gone)
