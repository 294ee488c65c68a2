"""Profiles: read and change those of our own users, read those of others, and say
what the member events of our own hold.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Final

from tremula.features.profiles import storage
from tremula.features.profiles.remote import Profile, RemoteProfiles
from tremula.features.profiles.storage import StoredProfile
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import ServerName, UserId, server_of
from tremula.protocol.profiles import (
    DISPLAYNAME,
    MEMBER_FIELDS,
    check_profile_size,
    encode_field,
    encode_own_field,
    encode_profile,
    member_fields,
    parse_field_name,
)

# Announced with the user ID as key; there is no payload.
TOPIC: Final = "profile"

_CACHE_BYTES: Final = 4 * 1024 * 1024
_ENTRY_BYTES: Final = 400
_NO_PROFILE: Final = StoredProfile({}, 0)


class Profiles:
    """Reads and changes profiles; those used last are in memory."""

    def __init__(
        self,
        db: Reader,
        journal: Journal,
        remote: RemoteProfiles,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._journal = journal
        self._remote = remote
        self._server_name = server_name
        self.cache: ByteLRU[UserId, Profile] = ByteLRU(_CACHE_BYTES)
        """Of our users' profiles."""
        self._changing: KeyedLocks[UserId] = KeyedLocks()
        # Of users made here, by journal position, from the commit until it is told.
        self._created: dict[int, Profile] = {}
        journal.subscribe(TOPIC, self._changed)
        journal.on_forget(self.cache.clear)
        journal.on_forget(self._created.clear)

    def create(self, unit: JournalUnit, user_id: UserId, displayname: str) -> None:
        """Give a new user a profile, in the *unit* that makes the user. It is one round
        trip with the rest of that (``infra.db.postgres_at_once``).

        To be called right before the commit: it takes a journal position.
        """
        storage.insert_profile(unit, user_id)
        value = encode_field(DISPLAYNAME, displayname)
        storage.upsert_field(unit, user_id, DISPLAYNAME, value)
        pos = unit.pos()
        unit.announce(TOPIC, user_id, None, pos=pos)

        def keep() -> None:
            # Next, most make a room or join one, which shows their name.
            self._created[pos] = {DISPLAYNAME: value}

        unit.on_commit(keep)

    async def get(self, user_id: UserId) -> bytes:
        """The whole profile as JSON.

        Raises:
            NotFound: there is no such user.
            Forbidden: the server of the user keeps it to itself, or is not asked.
            Unknown: (502) the server of the user does not answer.
        """
        return encode_profile(await self._fields_anywhere(user_id))

    async def get_field(self, user_id: UserId, name: str) -> bytes:
        """One field of the profile as JSON.

        Raises:
            NotFound: there is no such user, or the profile has no such field.
            Forbidden: the server of the user keeps it to itself, or is not asked.
            Unknown: (502) the server of the user does not answer.
        """
        return _field(await self._fields_anywhere(user_id), name)

    async def get_for_servers(self, user_id: UserId, name: str | None) -> bytes:
        """The profile of one of our own users as JSON, or an object of one field.

        Raises:
            NotFound: there is no such user here, or the profile has no such field.
        """
        fields = await self._get_fields(user_id)
        return encode_profile(fields if name is None else {name: _field(fields, name)})

    async def _fields_anywhere(self, user_id: UserId) -> Profile:
        if server_of(user_id) != self._server_name:
            return await self._remote.fields(user_id)
        return await self._get_fields(user_id)

    async def member_fields(self, user_id: UserId) -> dict[str, str]:
        """What the member events of *user_id* hold: displayname and avatar_url."""
        return member_fields(await self._find_fields(user_id) or {})

    async def set_field(self, user_id: UserId, name: str, value: object) -> None:
        """Set one field of the profile.

        Raises:
            KeyTooLarge, InvalidParam, BadJson: the name or the value cannot be one.
            ProfileTooLarge: the profile would grow past 64 KiB.
        """
        changed = _encoded({name: value})
        await self._change(user_id, lambda fields: {**fields, **changed})

    async def merge(self, user_id: UserId, values: Mapping[str, object]) -> None:
        """Set some fields of the profile at once; None removes one.

        Raises:
            KeyTooLarge, InvalidParam, BadJson: a name or a value cannot be one.
            ProfileTooLarge: the profile would grow past 64 KiB.
        """
        removed = {name for name, value in values.items() if value is None}
        changed = _encoded({n: v for n, v in values.items() if n not in removed})

        def merged(fields: Profile) -> Profile:
            kept = {n: v for n, v in fields.items() if n not in removed}
            return {**kept, **changed}

        await self._change(user_id, merged)

    async def replace(self, user_id: UserId, values: Mapping[str, object]) -> None:
        """Have the profile consist of these fields.

        Raises:
            KeyTooLarge, InvalidParam, BadJson: a name or a value cannot be one.
            ProfileTooLarge: they take more than 64 KiB.
        """
        fields = _encoded(values)
        await self._change(user_id, lambda _: fields)

    async def delete_field(self, user_id: UserId, name: str) -> None:
        """Remove one field of the profile; nothing happens if it is not there."""
        await self._change(
            user_id, lambda fields: {n: v for n, v in fields.items() if n != name}
        )

    async def erase(self, user_id: UserId) -> None:
        """Remove every field of the profile."""
        unit = self._journal.unit()
        storage.delete_fields(unit, user_id)
        unit.announce(TOPIC, user_id, None, pos=unit.pos())
        await self._journal.commit(unit)

    async def _change(
        self, user_id: UserId, change: Callable[[Profile], Profile]
    ) -> None:
        """Store what *change* makes of the profile, if that is anything else.

        Raises:
            ProfileTooLarge: it is past 64 KiB.
        """

        async def attempt() -> None:
            seen = await storage.find_profile(self._db, user_id) or _NO_PROFILE
            after = change(seen.fields)
            if after == seen.fields:
                return
            check_profile_size(after)
            unit = self._journal.unit()
            pos = unit.pos()
            storage.upsert_profile(unit, user_id, seen_pos=seen.changed_pos, pos=pos)
            _store_difference(unit, user_id, seen.fields, after)
            if any(seen.fields.get(name) != after.get(name) for name in MEMBER_FIELDS):
                storage.update_propagation(unit, user_id, pos=pos)
            unit.announce(TOPIC, user_id, None, pos=pos)
            await self._journal.commit(unit)

        async with self._changing.of(user_id):
            await reread_on_conflict(attempt)

    async def _get_fields(self, user_id: UserId) -> Profile:
        fields = await self._find_fields(user_id)
        if fields is None:
            raise NotFound("there is no profile of this user")
        return fields

    async def _find_fields(self, user_id: UserId) -> Profile | None:
        fields: Profile | None = self.cache.get(user_id)
        if fields is not None:
            return fields
        before = self._journal.changed_pos(TOPIC, user_id)
        profile = await storage.find_profile(self._db, user_id)
        fields = None if profile is None else profile.fields
        # What has changed while it was being read must not be kept.
        if fields is not None and self._journal.changed_pos(TOPIC, user_id) == before:
            self._keep(user_id, fields)
        return fields

    def _keep(self, user_id: UserId, fields: Profile) -> None:
        size_bytes = _ENTRY_BYTES + sum(map(len, fields.values()))
        self.cache.put(user_id, fields, size_bytes)

    def _changed(self, pos: int, user_id: Hashable, _payload: object) -> None:
        assert isinstance(user_id, str)
        created = self._created.pop(pos, None)
        if created is None:
            self.cache.discard(UserId(user_id))
        else:
            self._keep(UserId(user_id), created)


def _encoded(values: Mapping[str, object]) -> Profile:
    return {
        name: encode_own_field(parse_field_name(name), value)
        for name, value in values.items()
    }


def _store_difference(
    unit: JournalUnit, user_id: UserId, before: Profile, after: Profile
) -> None:
    for name in before.keys() - after.keys():
        storage.delete_field(unit, user_id, name)
    for name, value in after.items():
        if before.get(name) != value:
            storage.upsert_field(unit, user_id, name, value)


def _field(fields: Profile, name: str) -> bytes:
    value = fields.get(name)
    if value is None:
        raise NotFound(f"the profile has no {name}")
    return value
