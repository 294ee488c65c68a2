"""Users add bridges of their own, and get the registrations that these need."""

import re
import secrets
from typing import Final

from msgspec import Struct, field

from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.user_appservices import storage
from tremula.features.users.service import Users
from tremula.infra.db import Conflict
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.protocol.appservices import (
    Namespace,
    Namespaces,
    Registration,
    check_registration,
)
from tremula.protocol.errors import Exclusive, Forbidden, InvalidParam, NotFound
from tremula.protocol.identifiers import ID_BYTES_MAX, UserId

_NAME: Final = re.compile(r"[a-z0-9=.-]{1,32}")
_TOKEN_BYTES: Final = 32


class Wanted(Struct, frozen=True):
    """What a user says of a bridge: where it is, if it wants to be pushed to."""

    address: str | None = None
    push: bool = True
    self_hosted: bool = False


class UserAppservices(Struct, frozen=True):
    """A bridge `name` has the users ``@{name}_…`` and ``@{name}bot``, and acts as its
    owner as well. A name stays its owner's, since its users stay, too.
    """

    appservices: Appservices
    users: Users
    journal: Journal
    each_max: int
    urls_may_be_private: bool
    changing: KeyedLocks[str] = field(default_factory=KeyedLocks[str])

    async def get(self, owner: UserId, name: str) -> Registration:
        """The registration of a bridge.

        Raises:
            NotFound: the user has no such bridge.
        """
        await self.appservices.catch_up()
        found = self.appservices.find(_id_of(owner, name))
        if found is None or found.registration.owner != owner:
            raise NotFound("you have no bridge of this name")
        return found.registration

    async def put(
        self, owner: UserId, name: str, wanted: Wanted
    ) -> tuple[Registration, bool]:
        """Add a bridge, or change where it is: its registration, and whether it is new.

        Raises:
            InvalidParam: it cannot have this name or this address.
            Exclusive: there are users with its names.
            Forbidden: the user may not have one more.
        """
        if not _NAME.fullmatch(name):
            raise InvalidParam("the name of a bridge is 1 to 32 of a-z, 0-9 and = . -")
        async with self.changing.of(name):
            try:
                old = await self.get(owner, name)
            except NotFound:
                return await self._add(owner, name, wanted), True
            changed = self._registration(owner, name, wanted, old)
            if changed != old:
                await self.appservices.replace(changed)
            return changed, False

    async def remove(self, owner: UserId, name: str) -> None:
        """Remove a bridge; its users stay.

        Raises:
            NotFound: the user has no such bridge.
        """
        registration = await self.get(owner, name)
        await self.appservices.remove(registration.id)

    async def _add(self, owner: UserId, name: str, wanted: Wanted) -> Registration:
        if len(self.appservices.owned_by(owner)) >= self.each_max:
            raise Forbidden(f"users may have {self.each_max} bridges of their own here")
        registration = self._registration(owner, name, wanted, None)
        await self._take_name(owner, name, registration)
        await self.appservices.add(registration)
        return registration

    async def _take_name(
        self, owner: UserId, name: str, registration: Registration
    ) -> None:
        holder = await storage.find_holder(self.users.db, name)
        if holder == owner:
            return
        if holder is not None or await self._is_in_use(name, registration):
            raise Exclusive(
                "there are users with the names that this bridge would have"
            )
        unit = self.journal.unit()
        storage.insert_name(unit, name, owner)
        try:
            await self.journal.commit(unit)
        except Conflict:
            raise Exclusive("somebody else has just taken this name") from None

    async def _is_in_use(self, name: str, registration: Registration) -> bool:
        """Whether there are, or may be, users of others that the bridge would match."""
        bot = self.users.id_of(registration.sender_localpart)
        ghosts = f"@{name}_"
        return (
            await self.users.find(bot) is not None
            or await self.users.is_any_called(ghosts)
            or self.appservices.exclusive_of_user(bot) is not None
            or self.appservices.exclusive_of_user(self.users.id_of(f"{name}_a"))
            is not None
            or any(_claims_some(each, ghosts) for each in self.appservices.all())
        )

    def _registration(
        self, owner: UserId, name: str, wanted: Wanted, old: Registration | None
    ) -> Registration:
        server_name = self.users.server_name
        ghosts = _quoted(f"@{name}_") + ".+" + _quoted(f":{server_name}")
        bot = _quoted(f"@{name}bot:{server_name}")
        registration = Registration(
            id=_id_of(owner, name),
            url=wanted.address if wanted.push else None,
            as_token=old.as_token if old else secrets.token_urlsafe(_TOKEN_BYTES),
            hs_token=old.hs_token if old else secrets.token_urlsafe(_TOKEN_BYTES),
            sender_localpart=f"{name}bot",
            namespaces=Namespaces(
                users=(
                    Namespace(ghosts, exclusive=True),
                    Namespace(bot, exclusive=True),
                )
            ),
            rate_limited=False,
            receive_ephemeral=True,
            receives_unstable_ephemeral=True,
            receives_encryption=True,
            manages_devices=True,
            owner=owner,
            push=wanted.push,
            self_hosted=wanted.self_hosted,
            url_may_be_private=self.urls_may_be_private,
        )
        check_registration(registration)
        if len(self.users.id_of(f"{name}bot").encode()) > ID_BYTES_MAX:
            raise InvalidParam("this name is too long")
        return registration


def _id_of(owner: UserId, name: str) -> str:
    """Neither part has the character between them."""
    return f"{owner[1:].partition(':')[0]}:{name}"


def _quoted(text: str) -> str:
    # Bridges make templates of what they get: the less is quoted, the better.
    return re.escape(text).replace(r"\-", "-")


def _claims_some(appservice: Appservice, ghosts: str) -> bool:
    """Whether an application service keeps users to itself of whom all begin so."""
    return any(prefix.startswith(ghosts) for prefix in appservice.user_prefixes())
