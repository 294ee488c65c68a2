"""A server written by hand, over TLS: it hosts a room and sends transactions."""

import asyncio
import ssl
from asyncio import StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import ClientSession
from yarl import URL

from tests.fakes.remote import Received, http_answer, running_remote
from tests.federation.network import Letter
from tests.federation.remote import Remote
from tests.interop.tremula_peer import TremulaPeer
from tests.interop.trust import Trust
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import generate
from tremula.protocol.x_matrix import SignedRequest, authorization_header

_HOST: Final = "127.0.0.1"


@dataclass(slots=True)
class FarServer:
    """Answers as its `Remote` does; who asks for missing events may have to wait."""

    session: ClientSession
    trust: Trust
    remote: Remote
    has_been_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(
        self,
        peer: TremulaPeer,
        txn_id: str,
        pdus: Sequence[object],
        edus: Sequence[object] = (),
    ) -> dict[str, Any]:
        """Send a transaction; its answer.

        Raises:
            aiohttp.ClientError: *peer* has ended.
        """
        content = {
            "origin": self.remote.name,
            "origin_server_ts": 1,
            "pdus": list(pdus),
            "edus": list(edus),
        }
        uri = f"/_matrix/federation/v1/send/{txn_id}"
        request = SignedRequest(
            method="PUT",
            uri=uri,
            origin=self.remote.name,
            destination=ServerName(peer.server_name),
            content=content,
        )
        async with self.session.put(
            URL(f"https://{peer.server_name}{uri}", encoded=True),
            data=orjson.dumps(content),
            headers={"Authorization": authorization_header(request, self.remote.key)},
            ssl=ssl.create_default_context(cafile=self.trust.authority_file),
        ) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
            return answer

    async def answer(self, received: Received, writer: StreamWriter) -> None:
        """Answer a request."""
        if "/get_missing_events/" in received.uri:
            self.has_been_asked.set()
            await self.may_answer.wait()
        letter = Letter(
            origin=ServerName(""),
            destination=self.remote.name,
            method=received.method,
            uri=received.uri,
            headers=received.headers,
            body=received.body,
        )
        writer.write(http_answer(*await self.remote.receive(letter)))


@asynccontextmanager
async def running_far_server(
    session: ClientSession, trust: Trust, folder: Path
) -> AsyncIterator[FarServer]:
    """Start one; its name is an IP address with a port."""
    remote = Remote(ServerName(""), generate(b"f" * 32))
    far = FarServer(session, trust, remote)
    async with running_remote(
        [_HOST], far.answer, folder, signed_by=trust.authority
    ) as listening:
        remote.name = ServerName(f"{_HOST}:{listening.port}")
        yield far
