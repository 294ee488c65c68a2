"""A network of servers that are answers only."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.transport import StreamedAnswer
from tremula.protocol.identifiers import ServerName


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request that was handed to the network."""

    destination: ServerName
    method: str
    uri: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(slots=True)
class FakeTransport:
    """Implements ``FederationTransport``: one answer for all, or none."""

    status: int = 200
    answer: bytes = b"{}"
    is_down: bool = False
    sent: list[Sent] = field(default_factory=list)

    async def send(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> tuple[int, bytes]:
        """Note the request down and give the answer."""
        self.sent.append(
            Sent(
                destination=destination,
                method=method,
                uri=uri,
                headers=headers,
                body=body,
            )
        )
        if self.is_down:
            raise PeerUnreachable(f"{destination} is down")
        return self.status, self.answer

    @asynccontextmanager
    async def stream(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> AsyncIterator[StreamedAnswer]:
        """The same in pieces of one byte."""
        status, answer = await self.send(
            destination,
            method,
            uri,
            headers=headers,
            body=body,
            timeout_s=timeout_s,
            bytes_max=bytes_max,
        )
        yield StreamedAnswer(status, _bytes_of(answer))


async def _bytes_of(answer: bytes) -> AsyncIterator[bytes]:
    for number in answer:
        yield bytes([number])
