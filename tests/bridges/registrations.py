"""Registration files: written for bridges of our own, read for others'."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import yaml

from tests.homeserver import Homeserver

Registration = dict[str, Any]

# What bridges of our own want to be told: all there is.
_TOLD: Final = {
    "receive_ephemeral": True,
    "org.matrix.msc3202": True,
    "io.element.msc4190": True,
}


def write(
    path: Path, url: str | None, users: Sequence[str], *, exclusive: bool = True
) -> Path:
    """A new file for an appservice named as the file; *users* are namespaces."""
    registration: Registration = {
        "id": path.stem,
        "url": url,
        "as_token": secrets.token_hex(),
        "hs_token": secrets.token_hex(),
        # As mautrix's bridges have it: the bot is another of its users.
        "sender_localpart": secrets.token_hex(8),
        "rate_limited": False,
        "namespaces": {
            "users": [{"regex": regex, "exclusive": exclusive} for regex in users],
            "aliases": [],
            "rooms": [],
        },
        **_TOLD,
    }
    # JSON is YAML, and what programs of our own read.
    path.write_bytes(orjson.dumps(registration))
    return path


def read(path: Path) -> Registration:
    """What is registered."""
    registration: Registration = yaml.safe_load(path.read_text())
    return registration


async def ping(homeserver: Homeserver, path: Path) -> None:
    """Have the homeserver see that it reaches the bridge, as a bridge that starts."""
    registration = read(path)
    url = f"{homeserver.url}/_matrix/client/v1/appservice/{registration['id']}/ping"
    headers = {"Authorization": f"Bearer {registration['as_token']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json={}) as response,
    ):
        assert response.status == 200, await response.text()
