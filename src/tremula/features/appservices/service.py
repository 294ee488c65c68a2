"""The application services of this server, known in every process."""

from collections.abc import Callable, Hashable, Iterable
from hashlib import sha256
from typing import Final

from tremula.features.appservices import storage
from tremula.features.appservices.appservice import Appservice
from tremula.features.appservices.storage import StoredRegistration
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Conflict, Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.appservices import Registration
from tremula.protocol.errors import (
    Forbidden,
    InvalidParam,
    MissingToken,
    NotFound,
    UnknownToken,
)
from tremula.protocol.identifiers import RoomAlias, RoomId, ServerName, UserId
from tremula.protocol.namespaces import PrefixIndex

__all__ = ["TOPIC", "Appservice", "Appservices", "StoredRegistration"]

TOPIC: Final = "appservices"
"""Announced with the ID as key and a `StoredRegistration`, or None if it is gone."""

_USERS_BYTES: Final = 4 * 1024 * 1024
_ENTRY_BYTES: Final = 200

OnChanged = Callable[[str], None]
"""Told the ID of an application service that came, changed or went."""


class Appservices:
    """Finds application services by ID, token, and what is theirs.

    False while there are none, so that hot paths need not ask further. What is asked
    for is in memory, and found without looking at all of them.
    """

    def __init__(
        self,
        db: Reader,
        journal: Journal,
        server_name: ServerName,
        stored: Iterable[StoredRegistration] = (),
    ) -> None:
        self._db = db
        self._journal = journal
        self._server_name = server_name
        self._by_id: dict[str, Appservice] = {}
        self._by_token: dict[bytes, Appservice] = {}
        self._users: PrefixIndex[Appservice] = PrefixIndex()
        self._aliases: PrefixIndex[Appservice] = PrefixIndex()
        self._rooms: PrefixIndex[Appservice] = PrefixIndex()
        self.cache: ByteLRU[UserId, tuple[Appservice, ...]] = ByteLRU(_USERS_BYTES)
        """Whose our users are."""
        self._listeners: list[OnChanged] = []
        for each in stored:
            self._put(each)
        # How often something was told, or may have been told unheard; and whether the
        # latter has yet to be made good.
        self._changes = 0
        self._has_missed = not journal.is_alone
        journal.subscribe(TOPIC, self._hear)
        journal.on_forget(self._miss)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._by_id)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_id)

    def on_changed(self, listener: OnChanged) -> None:
        """Call *listener* when an application service has come, changed or gone."""
        self._listeners.append(listener)

    # Reading

    def all(self) -> list[Appservice]:
        """All of them."""
        return list(self._by_id.values())

    def owned_by(self, user_id: UserId) -> list[Appservice]:
        """Those that a user has added."""
        return [
            each
            for each in self.all()
            if each.registration.owner == user_id and not each.from_file
        ]

    def find(self, appservice_id: str) -> Appservice | None:
        """The one with an ID."""
        return self._by_id.get(appservice_id)

    def get(self, appservice_id: str) -> Appservice:
        """The one with an ID.

        Raises:
            NotFound: there is none.
        """
        appservice = self.find(appservice_id)
        if appservice is None:
            raise NotFound("there is no application service of this ID")
        return appservice

    def by_token(self, as_token: str) -> Appservice | None:
        """The one whose ``as_token`` it is."""
        return self._by_token.get(_hash(as_token)) if self._by_id else None

    async def authenticate(self, as_token: str | None) -> Appservice:
        """The one whose ``as_token`` it is.

        Raises:
            MissingToken, UnknownToken: there is no token, or it is nobody's.
        """
        if as_token is None:
            raise MissingToken("an as_token is needed")
        await self.catch_up()
        appservice = self.by_token(as_token)
        if appservice is None:
            raise UnknownToken("this is no application service's token")
        return appservice

    def of_user(self, user_id: UserId) -> tuple[Appservice, ...]:
        """Those that a user of this server is the sender or in a namespace of."""
        if not self._by_id or not user_id.endswith(f":{self._server_name}"):
            return ()
        found = self.cache.get(user_id)
        if found is None:
            candidates = dict.fromkeys(self._users.candidates(user_id))
            found = tuple(each for each in candidates if each.matches_user(user_id))
            size_bytes = _ENTRY_BYTES + 8 * len(found)
            self.cache.put(user_id, found, size_bytes)
        return found

    def of_alias(self, alias: RoomAlias) -> tuple[Appservice, ...]:
        """Those that have an alias in a namespace."""
        candidates = dict.fromkeys(self._aliases.candidates(alias))
        return tuple(each for each in candidates if each.matches_alias(alias))

    def of_room(self, room_id: RoomId) -> tuple[Appservice, ...]:
        """Those that have a room ID in a namespace."""
        candidates = dict.fromkeys(self._rooms.candidates(room_id))
        return tuple(each for each in candidates if each.matches_room(room_id))

    def exclusive_of_user(
        self, user_id: UserId, *, but: Appservice | None = None
    ) -> Appservice | None:
        """One that claims a user for itself, other than *but*."""
        for appservice in self.of_user(user_id):
            if appservice is not but and appservice.claims_user(user_id):
                return appservice
        return None

    def may_speak_for(self, appservice: Appservice, user_id: UserId) -> bool:
        """Whether, in rooms of its own, *appservice* may act as *user_id*.

        For one of the operator's so may be done what another of theirs is for, that
        acts as users without being told anything: bridges are given its token for their
        double puppets, and can't use it together with their own.
        """
        if appservice.may_act_as(user_id):
            return True
        if appservice.registration.owner is not None:
            return False
        found = self.of_user(user_id)
        return any(each.is_for_puppets for each in found) and not any(
            each.claims_user(user_id) for each in found
        )

    def exclusive_of_alias(
        self, alias: RoomAlias, *, but: Appservice | None = None
    ) -> Appservice | None:
        """One that claims an alias for itself, other than *but*."""
        for appservice in self.of_alias(alias):
            if appservice is not but and appservice.claims_alias(alias):
                return appservice
        return None

    @property
    def is_behind(self) -> bool:
        """Whether this process may have missed something of others."""
        return self._has_missed

    async def catch_up(self) -> None:
        """Read anew what this process may have missed of others; nearly always done."""
        while self._has_missed:
            changes = self._changes
            stored = await storage.all_registrations(self._db)
            if changes == self._changes:
                self._has_missed = False
                self._replace_all(stored)

    # Writing

    async def add(self, registration: Registration) -> None:
        """Let a new application service in, at once.

        Raises:
            InvalidParam: another one has its ID or its token.
        """
        unit = self._journal.unit()
        await self._store(unit, registration)

    async def replace(self, registration: Registration) -> None:
        """Put a registration in place of the one with its ID, or add it.

        Raises:
            InvalidParam: another one has its token.
            Forbidden: it stands in a file.
        """
        self._check_not_from_file(registration.id)
        unit = self._journal.unit()
        storage.delete_registration(unit, registration.id)
        await self._store(unit, registration)

    async def remove(self, appservice_id: str) -> None:
        """Let an application service in no longer; its users stay.

        Raises:
            NotFound: there is none of this ID.
            Forbidden: it stands in a file.
        """
        self.get(appservice_id)
        self._check_not_from_file(appservice_id)
        unit = self._journal.unit()
        storage.delete_registration(unit, appservice_id)
        unit.announce(TOPIC, appservice_id, None, pos=unit.pos())
        await self._journal.commit(unit)

    async def remove_owned(self, owner: UserId) -> None:
        """Remove those that a user has added, who is no more."""
        await self.catch_up()
        for appservice in self.owned_by(owner):
            await self.remove(appservice.id)

    async def _store(self, unit: JournalUnit, registration: Registration) -> None:
        stored = StoredRegistration(registration, from_file=False)
        storage.insert_registration(unit, stored)
        unit.announce(TOPIC, registration.id, stored, pos=unit.pos())
        try:
            await self._journal.commit(unit)
        except Conflict:
            raise InvalidParam(
                "another application service has this ID or this as_token"
            ) from None

    def _check_not_from_file(self, appservice_id: str) -> None:
        appservice = self.find(appservice_id)
        if appservice is not None and appservice.from_file:
            raise Forbidden(
                "this is registered by a file: change it there, and restart"
            )

    def announce(self, appservice_ids: Iterable[str]) -> None:
        """Tell other processes how application services are here."""
        for appservice_id in appservice_ids:
            found = self.find(appservice_id)
            stored = found and StoredRegistration(found.registration, found.from_file)
            self._journal.ephemeral(TOPIC, appservice_id, stored)

    def _hear(self, _pos: int, key: Hashable, payload: object) -> None:
        assert isinstance(key, str)
        self._changes += 1
        self._drop(key)
        if payload is not None:
            assert isinstance(payload, StoredRegistration)
            self._put(payload)
        self._tell([key])

    def _miss(self) -> None:
        self._changes += 1
        self._has_missed = not self._journal.is_alone

    def _replace_all(self, stored: Iterable[StoredRegistration]) -> None:
        before = {each.id: each.registration for each in self.all()}
        after = {each.registration.id: each for each in stored}
        changed = [
            appservice_id
            for appservice_id in {**before, **after}
            if appservice_id not in after
            or before.get(appservice_id) != after[appservice_id].registration
        ]
        for appservice_id in changed:
            self._drop(appservice_id)
        for appservice_id in changed:
            if appservice_id in after:
                self._put(after[appservice_id])
        self._tell(changed)

    def _tell(self, changed: Iterable[str]) -> None:
        for appservice_id in changed:
            for listener in self._listeners:
                listener(appservice_id)

    def _put(self, stored: StoredRegistration) -> None:
        registration = stored.registration
        appservice = Appservice(
            registration, self._server_name, from_file=stored.from_file
        )
        self._by_id[appservice.id] = appservice
        self._by_token[_hash(registration.as_token)] = appservice
        for prefix in appservice.user_prefixes():
            self._users.add(prefix, appservice)
        for prefix in appservice.alias_prefixes():
            self._aliases.add(prefix, appservice)
        for prefix in appservice.room_prefixes():
            self._rooms.add(prefix, appservice)
        self.cache.clear()

    def _drop(self, appservice_id: str) -> None:
        appservice = self._by_id.pop(appservice_id, None)
        if appservice is None:
            return
        del self._by_token[_hash(appservice.registration.as_token)]
        for prefix in appservice.user_prefixes():
            self._users.remove(prefix, appservice)
        for prefix in appservice.alias_prefixes():
            self._aliases.remove(prefix, appservice)
        for prefix in appservice.room_prefixes():
            self._rooms.remove(prefix, appservice)
        self.cache.clear()


def _hash(as_token: str) -> bytes:
    return sha256(as_token.encode("utf-8", "surrogatepass")).digest()
