"""Room aliases, and which rooms are published."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from tremula.features.directory import storage
from tremula.features.directory.canonical import (
    CANONICAL_ALIAS,
    CanonicalAliases,
    may_set_canonical_alias,
)
from tremula.features.directory.claims import AliasClaims
from tremula.features.directory.entries import Search, page
from tremula.features.directory.listing import RoomsQuery
from tremula.features.directory.published import PublishedRooms
from tremula.features.directory.remote import (
    SERVERS_MAX,
    AliasTarget,
    RemoteDirectory,
)
from tremula.features.directory.storage import SERVERS_OWN, Listing, StoredAlias
from tremula.infra.db import Conflict, Reader
from tremula.infra.http import Requester
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.errors import Forbidden, NotFound, Unknown
from tremula.protocol.identifiers import (
    RoomAlias,
    RoomId,
    ServerName,
    UserId,
    server_of,
)
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

__all__ = ["ALIASES_TOPIC", "CANONICAL_ALIAS", "Directory"]

ALIASES_TOPIC: Final = "room_aliases"
"""Announced by room nid when the local aliases of a room have changed."""


class Directory(Struct, frozen=True):
    """The aliases of this server, and its published room directory.

    Whoever may set a room's canonical alias may publish it and remove its aliases.
    """

    db: Reader
    journal: Journal
    canonical: CanonicalAliases
    reader: RoomReader
    published: PublishedRooms
    remote: RemoteDirectory
    claims: AliasClaims

    @property
    def server_name(self) -> ServerName:
        """Of this server."""
        return self.claims.server_name

    # --- aliases

    async def resolve(self, alias: RoomAlias) -> AliasTarget:
        """The room that *alias* points at, be it an alias of this server or another.

        Raises:
            NotFound: there is no such alias.
            Forbidden: this server does not speak with that of the alias.
            Unknown: (502) the server of the alias does not answer.
        """
        if server_of(alias) != self.server_name:
            return await self.remote.resolve(alias)
        view = await self.reader.get_room((await self._seek_local(alias)).room_id)
        return self._target(view)

    async def resolve_for_servers(self, alias: RoomAlias) -> AliasTarget:
        """As `resolve`, for another server: aliases of this one, of federated rooms.

        Raises:
            NotFound: there is no such alias.
        """
        view = await self.reader.get_room((await self._seek_local(alias)).room_id)
        if not view.is_federated:
            raise NotFound(f"Room alias {alias} not found")
        return self._target(view)

    async def _seek_local(self, alias: RoomAlias) -> StoredAlias:
        """What a local alias points at, be it made for who asks."""
        if await storage.find_alias(self.db, alias) is None:
            await self.claims.seek(alias)
        return await self._get_local(alias)

    async def _get_local(self, alias: RoomAlias) -> StoredAlias:
        stored = await storage.find_alias(self.db, alias)
        if stored is None:
            raise NotFound(f"Room alias {alias} not found")
        return stored

    def _target(self, view: RoomView) -> AliasTarget:
        """A room, and the servers in it: this one, then those with the most users."""
        counts = view.joined_servers
        others = sorted(
            counts.keys() - {self.server_name}, key=lambda s: (-counts[s], s)
        )
        return AliasTarget(view.room_id, (self.server_name, *others[: SERVERS_MAX - 1]))

    async def is_taken(self, alias: RoomAlias) -> bool:
        """Whether *alias* points at a room."""
        return await storage.find_alias(self.db, alias) is not None

    async def aliases_of(self, room_nid: int) -> list[RoomAlias]:
        """The local aliases of a room."""
        return await storage.aliases_of_room(self.db, room_nid)

    async def local_aliases(self, user_id: UserId, room_id: RoomId) -> list[RoomAlias]:
        """The aliases of a room, for *user_id* to see.

        Raises:
            Forbidden: the user is not joined, and the room is not world-readable.
        """
        view = await self.reader.find_room(room_id)
        if view is None or not (
            view.is_joined(user_id) or view.history_visibility == "world_readable"
        ):
            raise Forbidden(f"{user_id} is not in room {room_id}")
        return await self.aliases_of(view.nid)

    async def add_alias(
        self, requester: Requester, alias: RoomAlias, room_id: RoomId
    ) -> None:
        """Point a new alias at a room that the requester is in.

        Raises:
            InvalidParam: *alias* is not one of this server.
            Exclusive: see `AliasClaims.check_request`.
            NotFound: there is no such room.
            Forbidden: the requester is not joined to it.
            Unknown: (409) the alias is taken.
        """
        self.claims.check_request(requester, alias)
        user_id = requester.user_id
        view = await self.reader.get_room(room_id)
        if not (view.is_joined(user_id) or self.claims.is_controlled(requester, alias)):
            raise Forbidden(f"{user_id} is not in room {room_id}")
        unit = self.journal.unit()
        self.claim(unit, alias, view, creator=user_id)
        try:
            await self.journal.commit(unit)
        except Conflict as error:
            raise Unknown(f"Room alias {alias} already exists.", status=409) from error

    def claim(
        self, unit: JournalUnit, alias: RoomAlias, view: RoomView, *, creator: UserId
    ) -> None:
        """Add a new alias to *unit*, which fails with `Conflict` if it is taken."""
        stored = StoredAlias(alias, view.nid, view.room_id, creator)
        storage.insert_alias(unit, stored)
        _announce_aliases(unit, view.nid)

    async def remove_alias(self, requester: Requester, alias: RoomAlias) -> None:
        """Remove *alias*, also from the room's canonical alias event.

        Raises:
            NotFound: this server has no such alias.
            Forbidden: it is not the requester's, who has no power in its room.
        """
        # What was removed and made anew meanwhile may be somebody else's.
        while not await self._remove_alias(requester, await self._get_local(alias)):
            pass

    async def _remove_alias(self, requester: Requester, stored: StoredAlias) -> bool:
        user_id, alias = requester.user_id, stored.alias
        view = await self.reader.get_room(stored.room_id)
        may_remove = (
            stored.creator == user_id
            or self.claims.is_controlled(requester, alias)
            or self._may_manage(requester, view)
        )
        if not may_remove:
            raise Forbidden(f"{user_id} may not remove the room alias {alias}")
        unit = self.journal.unit()
        removed = storage.delete_alias(unit, stored)
        _announce_aliases(unit, view.nid)
        await self.journal.commit(unit)
        if removed.rows:
            await self.canonical.leave_out(view.room_id, alias, user_id=user_id)
        return bool(removed.rows)

    async def leave_out_removed(
        self, room_id: RoomId, aliases: Sequence[RoomAlias], *, user_id: UserId
    ) -> None:
        """Have a room, where *user_id* has just made *aliases* canonical, name none
        that was removed meanwhile.
        """
        for alias in aliases:
            if server_of(alias) == self.server_name:
                stored = await storage.find_alias(self.db, alias)
                if stored is None or stored.room_id != room_id:
                    await self.canonical.leave_out(room_id, alias, user_id=user_id)

    # --- published rooms

    async def is_published(self, room_id: RoomId) -> bool:
        """Whether a room is in the published directory.

        Raises:
            NotFound: there is no such room.
        """
        view = await self.reader.get_room(room_id)
        return await storage.is_published(self.db, view.nid)

    async def publish(self, requester: Requester, room_id: RoomId) -> None:
        """Put a room into the published directory.

        Raises:
            NotFound: there is no such room.
            Forbidden: the requester has no power to.
        """
        view = await self._managed(requester, room_id)
        unit = self.journal.unit()
        self.published.publish(unit, view)
        await self.journal.commit(unit)

    async def unpublish(self, requester: Requester, room_id: RoomId) -> None:
        """Take a room out of the published directory.

        Raises:
            NotFound: there is no such room.
            Forbidden: the requester has no power to.
        """
        view = await self._managed(requester, room_id)
        unit = self.journal.unit()
        self.published.unpublish(unit, view)
        await self.journal.commit(unit)

    async def publish_in_network(
        self, requester: Requester, listing: Listing, room_id: RoomId
    ) -> None:
        """Put a room into the directory of a network of an application service.

        Raises:
            NotFound: there is no such room.
            Forbidden: none of its users is in it.
        """
        view = await self.reader.get_room(room_id)
        if not self.claims.is_in_room(requester, view):
            raise Forbidden("the application service is not in this room")
        unit = self.journal.unit()
        self.published.publish(unit, view, listing)
        await self.journal.commit(unit)

    async def unpublish_in_network(self, listing: Listing, room_id: RoomId) -> None:
        """Take a room out of the directory of a network.

        Raises:
            NotFound: there is no such room.
        """
        view = await self.reader.get_room(room_id)
        unit = self.journal.unit()
        self.published.unpublish(unit, view, listing)
        await self.journal.commit(unit)

    async def public_rooms_of(
        self, server_name: ServerName, query: RoomsQuery
    ) -> dict[str, Any]:
        """A page of the rooms that a server publishes, as CS getPublicRooms has it.

        Raises:
            InvalidParam: ``since`` is no token of this server.
            Forbidden: this server does not speak with that one.
            NotFound, Unknown: the other server does not help.
        """
        if server_name != self.server_name:
            return await self.remote.public_rooms(
                server_name, query.to_json(), limit=query.rooms_max
            )
        return await self._published(query, query.search())

    async def public_rooms_for_servers(self, query: RoomsQuery) -> dict[str, Any]:
        """A page of the published rooms that other servers can join.

        Raises:
            InvalidParam: ``since`` is no token of this server.
        """
        return await self._published(query, query.search(federated_only=True))

    async def _published(self, query: RoomsQuery, search: Search) -> dict[str, Any]:
        place = query.place
        listing = None if query.include_all_networks else SERVERS_OWN
        if query.third_party_instance_id is not None:
            listing = await self.published.find_network(query.third_party_instance_id)
            if listing is None:
                return page((), since=None, limit=query.rooms_max)
        ranked = await self.published.ranked(listing)
        found = [entry for entry in ranked if search.matches(entry)]
        return page(found, since=place, limit=query.rooms_max)

    async def move(self, old: RoomView, new: RoomView) -> None:
        """Give a room's aliases and its place in the directory to its successor."""
        was_published = await storage.is_published(self.db, old.nid)
        unit = self.journal.unit()
        storage.update_room_of_aliases(
            unit, old_room_nid=old.nid, room_nid=new.nid, room_id=new.room_id
        )
        _announce_aliases(unit, old.nid)
        _announce_aliases(unit, new.nid)
        if was_published:
            self.published.unpublish(unit, old)
            self.published.publish(unit, new)
        await self.journal.commit(unit)

    async def forget(self, room: RoomView) -> None:
        """Take a room and its aliases out of the directory; safe to repeat."""
        unit = self.journal.unit()
        storage.delete_aliases_of(unit, room.nid)
        _announce_aliases(unit, room.nid)
        self.published.forget(unit, room)
        await self.journal.commit(unit)

    async def _managed(self, requester: Requester, room_id: RoomId) -> RoomView:
        view = await self.reader.get_room(room_id)
        if not self._may_manage(requester, view):
            raise Forbidden(
                f"{requester.user_id} may not change the directory entry of {room_id}"
            )
        return view

    def _may_manage(self, requester: Requester, view: RoomView) -> bool:
        return requester.is_admin or may_set_canonical_alias(requester.user_id, view)


def _announce_aliases(unit: JournalUnit, room_nid: int) -> None:
    unit.announce(ALIASES_TOPIC, room_nid, None, pos=unit.pos())
