"""A balancer before the processes of a server, and a client behind it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout
from yarl import URL

from tests.cluster.members import Members
from tests.crash.person import Person
from tests.homeserver import Homeserver

CHECK_EVERY_S: Final = 0.1
CHECK_TIMEOUT_S: Final = 1.0
PAUSE_S: Final = 0.05
TRY_S: Final = 4.0
"""So long a client waits for an answer before it asks elsewhere."""
PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets through the balancer."""

    status: int
    body: dict[str, Any]


@dataclass(slots=True)
class Balancer:
    """Gives each request to the next process that says of itself that it is ready.

    Like any balancer it asks another process where a connection was refused or the
    answer is 503, and hands everything else to the client.
    """

    session: ClientSession
    members: Members
    ready: set[Homeserver] = field(default_factory=set)
    _turn: int = 0
    _checked: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self) -> None:
        """Ask who is ready, again and again; has to run all the time."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_EVERY_S)

    async def check(self) -> None:
        """Ask each process once."""
        members = list(self.members.homeservers)
        answers = await asyncio.gather(*(self._is_ready(each) for each in members))
        self.ready = {
            each for each, ready in zip(members, answers, strict=True) if ready
        }
        self._checked.set()

    async def checked(self) -> None:
        """Wait until everybody has been asked once more."""
        self._checked.clear()
        await self._checked.wait()

    async def request(
        self,
        method: str,
        path: str,
        *,
        token: str,
        json: object = None,
        query: Mapping[str, str | int] | None = None,
        timeout_s: float = TRY_S,
    ) -> Answer:
        """Have a request answered by whichever process is next.

        Raises:
            ClientError: the connection broke amid it, or nobody takes it.
            TimeoutError: there was no answer in time.
        """
        last = Answer(503, {"error": "nobody is ready"})
        for homeserver in self._in_turn():
            with suppress(ClientConnectorError):
                async with self.session.request(
                    method,
                    URL(f"{homeserver.url}/_matrix/client/v3{path}", encoded=True),
                    json=json,
                    params=query,
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=ClientTimeout(total=timeout_s),
                ) as response:
                    last = Answer(response.status, await response.json())
                if last.status != 503:
                    return last
        return last

    def _in_turn(self) -> list[Homeserver]:
        ready = [each for each in self.members.homeservers if each in self.ready]
        if not ready:
            return []
        self._turn += 1
        first = self._turn % len(ready)
        return [*ready[first:], *ready[:first]]

    async def _is_ready(self, homeserver: Homeserver) -> bool:
        if not homeserver.is_running:
            return False
        try:
            async with self.session.get(
                f"{homeserver.url}/ready", timeout=ClientTimeout(total=CHECK_TIMEOUT_S)
            ) as response:
                return response.status == 200
        except (ClientError, TimeoutError):
            return False


@dataclass(frozen=True, slots=True)
class PatientPerson(Person):
    """Repeats each request until it is answered well, as clients do; thus no request
    but those that may be repeated.

    ``failures`` are what was seen in between.
    """

    balancer: Balancer
    failures: list[str] = field(default_factory=list)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
    ) -> dict[str, Any]:
        """The answer's body, at last with the status 200."""
        waits_s = int((query or {}).get("timeout", 0)) / 1000
        deadline_s = time.monotonic() + PATIENCE_S + waits_s
        while time.monotonic() < deadline_s:
            answer = await self._try(method, path, body, query, TRY_S + waits_s)
            if answer is not None and answer.status == 200:
                return answer.body
            await asyncio.sleep(PAUSE_S)
        raise AssertionError(f"never answered; {self.failures[-5:]}")

    async def _try(
        self,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, str | int] | None,
        timeout_s: float,
    ) -> Answer | None:
        try:
            answer = await self.balancer.request(
                method,
                path,
                token=self.token,
                json=body,
                query=query,
                timeout_s=timeout_s,
            )
        except (ClientError, TimeoutError) as error:
            self.failures.append(f"{method} {path}: {error!r}")
            return None
        if answer.status != 200:
            self.failures.append(f"{method} {path}: {answer}")
        assert answer.status in {200, 503}, (method, path, answer)
        return answer


def behind(balancer: Balancer, person: Person) -> PatientPerson:
    """The same user, behind the balancer."""
    return PatientPerson(
        session=person.session,
        url="",
        user_id=person.user_id,
        token=person.token,
        balancer=balancer,
    )


@asynccontextmanager
async def balancing(
    session: ClientSession, members: Members
) -> AsyncGenerator[Balancer]:
    """A balancer that looks after the processes."""
    balancer = Balancer(session, members)
    await balancer.check()
    watching = asyncio.ensure_future(balancer.watch())
    try:
        yield balancer
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
