"""End-to-end encryption for an appservice: its bot has one device, and no /sync."""

from dataclasses import dataclass

from mautrix.appservice import AppService
from mautrix.client import Client
from mautrix.client.state_store.memory import MemoryStateStore
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.errors import EncryptionError, SessionNotFound
from mautrix.types import EventType, StateEvent

from tests.bridges.programs.appservice import Content, Event

# For keys, which may come after what is encrypted with them.
_KEYS_TIMEOUT_S = 30


class CryptoStateStore:
    """What an `OlmMachine` asks about rooms."""

    def __init__(self, state_store: MemoryStateStore) -> None:
        self._state_store = state_store

    async def is_encrypted(self, room_id: str) -> bool:
        return bool(await self._state_store.is_encrypted(room_id))

    async def get_encryption_info(self, room_id: str) -> Content:
        return await self._state_store.get_encryption_info(room_id)

    async def find_shared_rooms(self, user_id: str) -> list[str]:
        members = self._state_store.members
        return [room_id for room_id in members if user_id in members[room_id]]


@dataclass
class Secrecy:
    """Decrypts what comes, and encrypts for rooms that are encrypted."""

    service: AppService
    client: Client
    machine: OlmMachine

    @staticmethod
    def of(service: AppService) -> "Secrecy":
        store = MemoryCryptoStore(service.bot_mxid, "pickle")
        client = Client(
            base_url=service.server,
            mxid=service.bot_mxid,
            sync_store=store,
            state_store=service.state_store,
        )
        machine = OlmMachine(client, store, CryptoStateStore(service.state_store))
        service.otk_handler = machine.handle_as_otk_counts
        service.device_list_handler = machine.handle_as_device_lists
        service.to_device_handler = machine.handle_as_to_device_event
        secrecy = Secrecy(service, client, machine)
        service.matrix_event_handler(secrecy.follow_members)
        return secrecy

    async def start(self) -> None:
        """Make the device, as MSC4190 has it, and upload its keys."""
        self.client.api.token = self.service.as_token
        await self.client.create_device_msc4190("", "bridge")
        await self.machine.load()
        await self.machine.share_keys()

    async def follow_members(self, event: Event) -> None:
        """Make new keys when somebody comes or goes."""
        if isinstance(event, StateEvent) and event.type == EventType.ROOM_MEMBER:
            await self.machine.handle_member_event(event)

    async def decrypted(self, event: Event) -> Event:
        """The event as its sender wrote it."""
        if event.type != EventType.ROOM_ENCRYPTED:
            return event
        try:
            return await self.machine.decrypt_megolm_event(event)
        except SessionNotFound as error:
            await self.machine.wait_for_session(
                event.room_id, error.session_id, timeout=_KEYS_TIMEOUT_S
            )
            return await self.machine.decrypt_megolm_event(event)

    async def encrypted(
        self, room_id: str, content: Content
    ) -> tuple[EventType, Content]:
        """What to send; everybody in the room is given the key who has none."""
        message = EventType.ROOM_MESSAGE
        if not await self.service.state_store.is_encrypted(room_id):
            return message, content
        try:
            secret = await self.machine.encrypt_megolm_event(room_id, message, content)
        except EncryptionError:
            members = await self.service.intent.get_joined_members(room_id)
            await self.machine.share_group_session(room_id, list(members))
            secret = await self.machine.encrypt_megolm_event(room_id, message, content)
        return EventType.ROOM_ENCRYPTED, secret
