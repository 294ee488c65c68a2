"""The e-mail addresses of our users."""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct, field

from tremula.features.third_party import storage
from tremula.features.third_party.storage import Medium, Purpose, ThirdPartyId
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import ThreepidDenied, ThreepidInUse
from tremula.protocol.identifiers import UserId

__all__ = ["TABLE", "Medium", "Purpose", "ThirdPartyId", "ThirdPartyIds"]

TABLE: Final = "third_party_ids"
"""Names the conflict of two users with one address."""

_IDS_MAX: Final = 20


AddressHook = Callable[[UserId, EmailAddress], Awaitable[None]]


class ThirdPartyIds(Struct, frozen=True):
    """Knows whose address is whose. An address has one owner at most."""

    db: Reader
    journal: Journal
    clock: Clock
    _on_removed: list[AddressHook] = field(default_factory=list[AddressHook])

    def on_removed(self, hook: AddressHook) -> None:
        """Call *hook* with an address that a user has given up."""
        self._on_removed.append(hook)

    async def of_user(self, user_id: UserId) -> list[ThirdPartyId]:
        """The addresses of a user, the oldest first."""
        return await storage.ids_of(self.db, user_id)

    async def owner_of(self, address: EmailAddress) -> UserId | None:
        """The user who has proved to have *address*."""
        return await storage.find_owner(self.db, Medium.EMAIL, address)

    async def has_email(self, user_id: UserId, address: EmailAddress) -> bool:
        """Whether *user_id* has proved to have *address*."""
        return await self.owner_of(address) == user_id

    async def is_to_be_added(self, user_id: UserId, address: EmailAddress) -> bool:
        """Whether *user_id* may be given *address*; False: they have it.

        Raises:
            ThreepidInUse: it is another user's.
            ThreepidDenied: the user has too many.
        """
        owner = await self.owner_of(address)
        if owner is not None and owner != user_id:
            raise in_use()
        if owner is None and len(await self.of_user(user_id)) >= _IDS_MAX:
            raise ThreepidDenied("You have as many addresses as you may.")
        return owner is None

    def add_to(self, unit: JournalUnit, user_id: UserId, address: EmailAddress) -> None:
        """Give *user_id* an address that is proved to be theirs. The unit fails with
        ``Conflict`` if somebody has it by then.
        """
        now_ms = self.clock.now_ms()
        storage.insert_id(
            unit, ThirdPartyId(Medium.EMAIL, address, user_id, now_ms, now_ms)
        )

    async def remove(self, user_id: UserId, medium: Medium, address: str) -> None:
        """Take an address from a user; nothing happens if they don't have it."""
        unit = self.journal.unit()
        storage.delete_id(unit, user_id, medium, address)
        await self.journal.commit(unit)
        if medium is Medium.EMAIL:
            for hook in self._on_removed:
                await hook(user_id, EmailAddress(address))

    async def remove_all(self, user_id: UserId) -> None:
        """Take all addresses from a user, whose account is closed."""
        unit = self.journal.unit()
        storage.delete_ids_of(unit, user_id)
        await self.journal.commit(unit)


def in_use() -> ThreepidInUse:
    """What to tell who wants the address of another user."""
    return ThreepidInUse("This address belongs to another account.")
