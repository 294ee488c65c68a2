"""A server that is written by hand: it publishes a key, signs what it asks, and answers
what a test has it answer.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from tests.federation.network import Federation, Letter
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.infra.federation.client import Query
from tremula.protocol.hashes import event_id_of
from tremula.protocol.identifiers import ServerName
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from tremula.protocol.server_keys import publish_server_keys
from tremula.protocol.signing import SigningKey, sign_event
from tremula.protocol.x_matrix import SignedRequest, authorization_header

Pdu = dict[str, Any]

# The name of the one that tests mostly meet.
FAR = "far.test"

# The end of the year 9999, until when the keys are valid.
_FAR_TS = 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that says no."""

    status: int
    errcode: str


@dataclass(slots=True)
class Remote:
    """A server on the network of a test.

    ``answers`` has, by a part of the path, what it answers, bytes as they are; a
    function makes it of the request, at once or later. Everything else is 404.
    """

    name: ServerName
    key: SigningKey
    answers: dict[str, object] = field(default_factory=dict)
    transactions: int = 0

    async def receive(self, letter: Letter) -> tuple[int, bytes]:
        """Answer a request."""
        if letter.path == "/_matrix/key/v2/server":
            return 200, orjson.dumps(
                publish_server_keys(self.name, self.key, (), valid_until_ts=_FAR_TS)
            )
        for part, answer in self.answers.items():
            if part in letter.path:
                made = answer(letter) if callable(answer) else answer
                if isinstance(made, Awaitable):
                    made = await made
                if isinstance(made, Refusal):
                    return made.status, orjson.dumps(
                        {"errcode": made.errcode, "error": "no"}
                    )
                return 200, made if isinstance(made, bytes) else orjson.dumps(made)
        return 404, orjson.dumps({"errcode": "M_UNRECOGNIZED", "error": "no"})

    async def join(self, server: Server, room_id: str, localpart: str = "far") -> Pdu:
        """Have a user of this server join a room of *server*; the join event."""
        room = quote(room_id)
        made = await self.ask(
            server,
            f"/v1/make_join/{room}/{quote(f'@{localpart}:{self.name}')}",
            {"ver": list(ROOM_VERSIONS)},
        )
        assert made.status == 200, made.body
        version = ROOM_VERSIONS[made.json["room_version"]]
        pdu = sign_event(version, made.json["event"], self.name, self.key)
        path = f"/v2/send_join/{room}/{quote(event_id_of(version, pdu))}"
        sent = await self.ask(server, path, method="PUT", content=pdu)
        assert sent.status == 200, sent.body
        return pdu

    def signed(self, pdu: Pdu, version: RoomVersion = ROOM_VERSIONS["11"]) -> Pdu:
        """*pdu* with the signature of this server alone."""
        unsigned = {k: v for k, v in pdu.items() if k not in {"signatures", "hashes"}}
        return sign_event(version, unsigned, self.name, self.key)

    def accept_invite(self, letter: Letter) -> object:
        """The answer that lets one of our users be invited."""
        version = ROOM_VERSIONS[letter.json["room_version"]]
        return {"event": sign_event(version, letter.json["event"], self.name, self.key)}

    async def send(self, server: Server, *pdus: Pdu) -> dict[str, Any]:
        """Send events in a transaction; what became of them, by event ID."""
        self.transactions += 1
        sent = await self.ask(
            server,
            f"/v1/send/{self.transactions}",
            method="PUT",
            content={
                "origin": self.name,
                "origin_server_ts": 1,
                "pdus": pdus,
                "edus": [],
            },
        )
        assert sent.status == 200, sent.body
        results: dict[str, Any] = sent.json["pdus"]
        return results

    async def ask(
        self,
        server: Server,
        path: str,
        query: Query | None = None,
        *,
        method: str = "GET",
        content: Any = None,  # noqa: ANN401 - JSON of any shape
    ) -> HttpResponse:
        """Make a signed request; *path* is what follows ``/_matrix/federation``."""
        encoded = urlencode(query, doseq=True, quote_via=quote) if query else ""
        uri = "/_matrix/federation" + path + ("?" + encoded if encoded else "")
        request = SignedRequest(
            method=method,
            uri=uri,
            origin=self.name,
            destination=server.app.config.server_name,
            content=content,
        )
        return await Client(server.http).request(
            method,
            uri,
            body=b"" if content is None else orjson.dumps(content),
            headers={"Authorization": authorization_header(request, self.key)},
        )


def add_remote(federation: Federation, name: str, number: int = 1) -> Remote:
    """A new server on the network, with a key of its own for each *number*."""
    key = SigningKey.from_seed(f"ed25519:r{number}", bytes([number]) * 32)
    remote = Remote(ServerName(name), key)
    federation.network.peers[remote.name] = remote
    return remote
