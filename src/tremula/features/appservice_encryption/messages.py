"""Messages to devices of application services' users."""

from collections.abc import Collection, Sequence
from typing import Final

import orjson
from msgspec import Struct

from tremula.features.appservice_encryption import storage
from tremula.features.appservice_encryption.storage import Addressed
from tremula.features.appservice_transactions.service import TOPIC as WAITING_TOPIC
from tremula.features.appservice_transactions.service import (
    Gathered,
    takes_transactions,
)
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.to_device.service import InboxMessage, ToDevice
from tremula.infra.db import Database, Statements, Unit
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.identifiers import UserId
from tremula.rooms.events import StoredEvent

_MESSAGES_MAX: Final = 100
# Websockets of bridges take 4 MiB.
_BYTES_MAX: Final = 1024 * 1024


class AppserviceMessages(Struct, frozen=True):
    """Tells of messages to devices. Implements `TransactionPart`.

    That some wait is stored with them. Those to users that are an application
    service's alone leave their inboxes with the transaction that they are part of.
    """

    database: Database
    journal: Journal
    appservices: Appservices
    to_device: ToDevice

    def delivered(
        self, unit: JournalUnit, user_ids: Collection[UserId], pos: int
    ) -> None:
        """Let those wait that were put into inboxes at *pos*."""
        if not self.appservices:
            return
        for user_id in user_ids:
            found = [
                each.id for each in self.appservices.of_user(user_id) if wants(each)
            ]
            storage.insert_addressed(unit, found, Addressed(pos, user_id))
            for appservice_id in found:
                unit.announce(WAITING_TOPIC, appservice_id, None, pos=pos)

    async def waiting(self) -> Collection[str]:
        """See `TransactionPart`."""
        return await storage.ids_with_messages(self.database)

    async def gather(
        self, appservice: Appservice, _events: Sequence[StoredEvent]
    ) -> Gathered | None:
        """See `TransactionPart`."""
        addressed = await storage.oldest_addressed(
            self.database,
            appservice.id,
            up_to=self.journal.position,
            limit=_MESSAGES_MAX + 1,
        )
        if not addressed:
            return None
        messages = await self.to_device.messages_at(
            {each.user_id for each in addressed}, {each.pos for each in addressed}
        )
        told, taken = _bounded(addressed, messages)
        encoded = [_encoded(each) for each in taken]

        def store(unit: Unit) -> None:
            storage.delete_addressed(unit, appservice.id, told)
            own = [each for each in taken if appservice.claims_user(each.user_id)]
            self.to_device.forget(unit, own)

        return Gathered(
            {"to_device": encoded, "de.sorunome.msc2409.to_device": encoded},
            store,
            is_more=len(told) < len(addressed),
        )

    async def forget(self, appservice_id: str) -> None:
        """Let nothing wait for an application service that has gone."""
        unit = Statements()
        storage.delete_of_appservice(unit, appservice_id)
        await self.database.commit(unit)


def wants(appservice: Appservice) -> bool:
    """Whether an application service is told of messages to devices."""
    registration = appservice.registration
    return takes_transactions(appservice) and (
        registration.receives_encryption or registration.receives_ephemeral
    )


def _bounded(
    addressed: Sequence[Addressed], messages: Sequence[InboxMessage]
) -> tuple[Sequence[Addressed], Sequence[InboxMessage]]:
    """As many as go into one transaction, but what came at once to one user stays
    together; and the messages. Those that their device has fetched are not there.
    """
    by_address: dict[Addressed, list[InboxMessage]] = {}
    for message in messages:
        address = Addressed(message.pos, message.user_id)
        by_address.setdefault(address, []).append(message)
    taken: list[InboxMessage] = []
    size_bytes = 0
    for count, each in enumerate(addressed):
        found = by_address.get(each, [])
        size_bytes += sum(len(message.event) for message in found)
        is_full = len(taken) + len(found) > _MESSAGES_MAX or size_bytes > _BYTES_MAX
        if is_full and taken:
            return addressed[:count], taken
        taken += found
    return addressed, taken


def _encoded(message: InboxMessage) -> orjson.Fragment:
    recipient = orjson.dumps(
        {"to_user_id": message.user_id, "to_device_id": message.device_id}
    )
    return orjson.Fragment(b"%b,%b" % (message.event.encode()[:-1], recipient[1:]))
