"""Which notary is asked for the keys of whom, and when again."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final

from tremula.features.server_keys.attempts import Attempts
from tremula.features.server_keys.fetching import Needs
from tremula.infra.clock import Clock
from tremula.infra.together import together
from tremula.protocol.identifiers import ServerName

# As many as notaries answer for, Tremula among them.
_SERVERS_PER_QUERY: Final = 100


class Notaries:
    """Asks notaries in turn, for all servers together that are asked for at a time.

    Nobody is asked for twice at the same time. A notary that does not answer, and a
    server of which none has the keys, are left alone for a while.
    """

    def __init__(
        self,
        names: Sequence[ServerName],
        ask: Callable[[ServerName, Needs], Coroutine[None, None, bool]],
        unmet: Callable[[Needs], Awaitable[Needs]],
        clock: Clock,
    ) -> None:
        self._names = names
        self._ask = ask
        self._unmet = unmet
        self._by_server = Attempts(clock)
        self._by_notary = Attempts(clock)
        # What is set when the answers for a server have come.
        self._asking: dict[ServerName, asyncio.Event] = {}

    async def ask(self, needs: Needs) -> None:
        """Try to get what meets *needs*; returns when that has been tried."""
        asked_by_others = {self._asking[name] for name in needs if name in self._asking}
        own: Needs = {
            name: each
            for name, each in needs.items()
            if name not in self._asking and self._by_server.may_ask(name)
        }
        if own and self._names:
            await self._ask_alone(own)
        for answered in asked_by_others:
            await answered.wait()

    async def _ask_alone(self, needs: Needs) -> None:
        answered = asyncio.Event()
        self._asking |= dict.fromkeys(needs, answered)
        try:
            unmet = await self._ask_in_turn(needs)
        finally:
            for name in needs:
                del self._asking[name]
            answered.set()
        for name in unmet:
            self._by_server.failed(name)

    async def _ask_in_turn(self, needs: Needs) -> Needs:
        for notary in self._names:
            if not self._by_notary.may_ask(notary):
                continue
            # For itself no notary vouches.
            others = [name for name in needs if name != notary]
            parts = [
                {name: needs[name] for name in others[start:][:_SERVERS_PER_QUERY]}
                for start in range(0, len(others), _SERVERS_PER_QUERY)
            ]
            answers = await together(
                {number: self._ask(notary, part) for number, part in enumerate(parts)}
            )
            if all(answers.values()):
                self._by_notary.forget(notary)
            else:
                self._by_notary.failed(notary)
            needs = await self._unmet(needs)
        return needs
