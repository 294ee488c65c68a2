"""Server access control lists (CS "Server Access Control Lists (ACLs) for rooms")."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from tremula.protocol.identifiers import ServerName

_PORT = re.compile(r":[0-9]+\Z")
_IP_LITERAL = re.compile(r"\[.*|[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_WILDCARD = re.compile(r"[*?]")


class ServerAcl(Struct, frozen=True):
    """The content of an ``m.room.server_acl`` event, ready to be asked."""

    allow: "_Globs"
    deny: "_Globs"
    allow_ip_literals: bool

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "ServerAcl":
        """The ACL that *content* describes.

        A list that is none is empty, what is no string in it matches nothing, and
        ``allow_ip_literals`` "defaults to true if missing or otherwise not a boolean".
        """
        return cls(
            allow=_Globs.of(content.get("allow")),
            deny=_Globs.of(content.get("deny")),
            allow_ip_literals=content.get("allow_ip_literals") is not False,
        )

    def allows(self, server_name: ServerName) -> bool:
        """Whether *server_name* may take part in the room. Its port does not matter."""
        host = _PORT.sub("", server_name).lower()
        if not self.allow_ip_literals and _IP_LITERAL.fullmatch(host):
            return False
        places = _places(host)
        if self.deny.match(host, places):
            return False
        return self.allow.match(host, places)


class _Globs(Struct, frozen=True):
    """Patterns in lower case, those without wildcards apart."""

    plain: frozenset[str]
    patterns: tuple[str, ...]

    @classmethod
    def of(cls, raw: object) -> "_Globs":
        entries: Iterable[object] = raw if isinstance(raw, list) else ()
        globs = {entry.lower() for entry in entries if isinstance(entry, str)}
        patterns = {glob for glob in globs if _WILDCARD.search(glob)}
        return cls(frozenset(globs - patterns), tuple(sorted(patterns)))

    def match(self, host: str, places: Mapping[str, int]) -> bool:
        return host in self.plain or any(
            _matches(pattern, places, len(host)) for pattern in self.patterns
        )


def _places(host: str) -> dict[str, int]:
    """For each character the set of places where *host* has it, as bits."""
    places: dict[str, int] = {}
    for index, char in enumerate(host):
        places[char] = places.get(char, 0) | 1 << index
    return places


def _matches(pattern: str, places: Mapping[str, int], length: int) -> bool:
    """Whether the glob matches all of a host name.

    One step a character, whatever the pattern (CVE-2023-45129): the bits of *reached*
    are the lengths of all prefixes of the name that the pattern so far matches.
    """
    whole = (2 << length) - 1
    reached = 1
    for char in pattern:
        if char == "*":
            reached = -(reached & -reached) & whole
        elif char == "?":
            reached = reached << 1 & whole
        else:
            reached = (reached & places.get(char, 0)) << 1
        if not reached:
            return False
    return bool(reached >> length)
