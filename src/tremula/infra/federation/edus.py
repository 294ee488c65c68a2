"""What takes EDUs of other servers in: each feature those of its own."""

from collections.abc import Mapping
from typing import Any, Protocol

from tremula.protocol.identifiers import ServerName


class EduHandler(Protocol):
    """Takes in EDUs of one type."""

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Take in what *origin* sent; nothing of *content* has been checked.

        What *origin* may not say is left out.

        Raises:
            MatrixError: all of it was left out.
        """
        ...
