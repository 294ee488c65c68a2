"""``mxc://`` URIs (CS "Matrix Content (mxc://) URIs")."""

import re
from typing import Final, Self

from msgspec import Struct

from tremula.protocol.errors import InvalidParam, NotFound
from tremula.protocol.identifiers import ServerName, is_valid_server_name

_MEDIA_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_SCHEME: Final = "mxc://"


class Mxc(Struct, frozen=True):
    """Names a file for good: the server that it was uploaded to, and its ID there."""

    server_name: ServerName
    media_id: str

    @classmethod
    def of(cls, server_name: str, media_id: str) -> Self:
        """The two parts, as they stand in a path.

        "Homeservers MUST sanitise mxc:// URIs": nothing gets by with another character.

        Raises:
            NotFound: there can't be such media.
        """
        if not is_valid_server_name(server_name) or not _MEDIA_ID.fullmatch(media_id):
            raise NotFound("there is no such media")
        return cls(ServerName(server_name), media_id)

    @classmethod
    def parse(cls, uri: str) -> Self:
        """The two parts of a URI.

        Raises:
            InvalidParam: it is no ``mxc://`` URI.
        """
        server_name, _, media_id = uri.removeprefix(_SCHEME).partition("/")
        if not uri.startswith(_SCHEME):
            raise InvalidParam("not an mxc:// URI")
        try:
            return cls.of(server_name, media_id)
        except NotFound:
            raise InvalidParam("not an mxc:// URI") from None

    def __str__(self) -> str:
        """The URI."""
        return f"{_SCHEME}{self.server_name}/{self.media_id}"
