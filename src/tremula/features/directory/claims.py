"""Which aliases are this server's, and who may make them (AS "Registration")."""

from typing import Protocol

from msgspec import Struct, field

from tremula.features.appservices.service import Appservices
from tremula.infra.http import Requester
from tremula.protocol.errors import Exclusive, InvalidParam
from tremula.protocol.identifiers import RoomAlias, ServerName, UserId, server_of
from tremula.rooms.view import RoomView


class AliasSeeker(Protocol):
    """Knows who makes an alias that is asked for."""

    async def __call__(self, alias: RoomAlias, /) -> bool:
        """Whether *alias* was made just now."""
        ...


class AliasClaims(Struct, frozen=True):
    """Application services have "full control over" the aliases of their namespaces."""

    server_name: ServerName
    appservices: Appservices
    seekers: list[AliasSeeker] = field(default_factory=list[AliasSeeker])

    async def seek(self, alias: RoomAlias) -> None:
        """Have *alias*, which there is not, made by whoever has it."""
        for seeker in self.seekers:
            if await seeker(alias):
                return

    def check_request(self, requester: Requester, alias: RoomAlias) -> None:
        """Refuse who may not make *alias*.

        Raises:
            InvalidParam: it is not one of this server.
            Exclusive: it is an application service's, and the requester is another, or
                is none; or the requester is one, and it is in none of its namespaces.
        """
        if server_of(alias) != self.server_name:
            raise InvalidParam(f"{alias} is not an alias of {self.server_name}")
        if requester.controls_user and not self.is_controlled(requester, alias):
            raise Exclusive("this alias is in no namespace of the application service")
        self.check_creator(requester.user_id, alias)

    def check_creator(self, user_id: UserId, alias: RoomAlias) -> None:
        """Keep *alias* for the users of the application service that claims it.

        Raises:
            Exclusive: *user_id* is none of them.
        """
        for appservice in self.appservices.of_alias(alias):
            if appservice.claims_alias(alias) and not appservice.matches_user(user_id):
                raise Exclusive("this alias is kept for an application service")

    def is_in_room(self, requester: Requester, view: RoomView) -> bool:
        """Whether any user of the application service that asks is in a room."""
        if view.is_joined(requester.user_id):
            return True
        appservice = self.appservices.find(requester.appservice_id or "")
        return appservice is not None and any(
            appservice.matches_user(each) for each in view.joined_members()
        )

    def is_controlled(self, requester: Requester, alias: RoomAlias) -> bool:
        """Whether an application service asks, of an alias in its namespaces."""
        appservice_id = requester.appservice_id
        if appservice_id is None or not requester.controls_user:
            return False
        appservice = self.appservices.find(appservice_id)
        return appservice is not None and appservice.matches_alias(alias)
