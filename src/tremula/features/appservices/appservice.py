"""One application service of this server."""

from collections.abc import Sequence

from tremula.protocol.appservices import Namespace, Registration
from tremula.protocol.identifiers import RoomAlias, RoomId, ServerName, UserId
from tremula.protocol.namespaces import Pattern


class _Area:
    """The namespaces of one kind."""

    __slots__ = ("_claimed", "patterns")

    def __init__(self, namespaces: Sequence[Namespace]) -> None:
        self.patterns = [Pattern(each.regex) for each in namespaces]
        self._claimed = [
            pattern
            for pattern, namespace in zip(self.patterns, namespaces, strict=True)
            if namespace.exclusive
        ]

    def matches(self, text: str) -> bool:
        return any(pattern.matches(text) for pattern in self.patterns)

    def claims(self, text: str) -> bool:
        return any(pattern.matches(text) for pattern in self._claimed)

    def prefixes(self) -> list[str]:
        return [pattern.prefix for pattern in self.patterns]


class Appservice:
    """A registration, and what its namespaces match.

    ``sender`` is the user of its ``sender_localpart``; what is ``from_file``, only that
    file changes. Users of other servers match
    nothing: "application services can only register interest in local users".
    """

    __slots__ = (
        "_aliases",
        "_local",
        "_rooms",
        "_users",
        "from_file",
        "registration",
        "sender",
    )

    def __init__(
        self, registration: Registration, server_name: ServerName, *, from_file: bool
    ) -> None:
        self.registration = registration
        self.from_file = from_file
        self.sender = UserId(f"@{registration.sender_localpart}:{server_name}")
        self._local = f":{server_name}"
        namespaces = registration.namespaces
        self._users = _Area(namespaces.users)
        self._aliases = _Area(namespaces.aliases)
        self._rooms = _Area(namespaces.rooms)

    @property
    def id(self) -> str:
        """The ID of the registration."""
        return self.registration.id

    def matches_user(self, user_id: UserId) -> bool:
        """Whether *user_id* is its sender, or a local user of its namespaces."""
        return user_id == self.sender or (
            user_id.endswith(self._local) and self._users.matches(user_id)
        )

    def claims_user(self, user_id: UserId) -> bool:
        """Whether nobody else may make the user *user_id*."""
        return user_id == self.sender or (
            user_id.endswith(self._local) and self._users.claims(user_id)
        )

    @property
    def is_for_puppets(self) -> bool:
        """Whether an operator has it act as users only; it is told nothing."""
        return self.registration.url is None and self.registration.owner is None

    def may_act_as(self, user_id: UserId) -> bool:
        """Whether it may masquerade as *user_id*."""
        return user_id == self.registration.owner or self.matches_user(user_id)

    def matches_alias(self, alias: RoomAlias) -> bool:
        """Whether *alias* is in its namespaces."""
        return self._aliases.matches(alias)

    def claims_alias(self, alias: RoomAlias) -> bool:
        """Whether nobody else may make *alias*."""
        return self._aliases.claims(alias)

    def matches_room(self, room_id: RoomId) -> bool:
        """Whether *room_id* is in its namespaces."""
        return self._rooms.matches(room_id)

    def user_prefixes(self) -> list[str]:
        """What each user that it matches begins with one of."""
        return [self.sender, *self._users.prefixes()]

    def alias_prefixes(self) -> list[str]:
        """What each alias that it matches begins with one of."""
        return self._aliases.prefixes()

    def room_prefixes(self) -> list[str]:
        """What each room ID that it matches begins with one of."""
        return self._rooms.prefixes()
