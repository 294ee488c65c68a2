"""Messages to devices: from the send to the sync that proves their receipt."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from bench.client import User, check, each
from bench.processes import measured
from bench.scenarios.subject import Metrics, Subject

_TIMEOUT_MS: Final = 30_000
_WARM_UP: Final = 5
_TYPE: Final = "m.room.encrypted"
# About as long as a room key for one device.
_CIPHERTEXT: Final = "x" * 1_200


@dataclass(frozen=True, slots=True)
class ToDevice:
    """Some pairs at once: one sends, one message after the other, to one who waits."""

    pairs: int = 16
    messages: int = 1_600

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        users = await subject.homeserver.users(2 * self.pairs)
        pairs = [
            _Pair(sender, receiver, (await receiver.sync())["next_batch"])
            for sender, receiver in zip(
                users[: self.pairs], users[self.pairs :], strict=True
            )
        ]
        await each(pairs, lambda pair: pair.exchange(_WARM_UP), at_once=self.pairs)
        count = self.messages // self.pairs
        async with measured(subject.processes) as usage:
            await each(pairs, lambda pair: pair.exchange(count), at_once=self.pairs)
        await each(pairs, lambda pair: pair.verify_received(), at_once=self.pairs)
        return usage.cpu_ms_per(count * self.pairs)


@dataclass(slots=True)
class _Pair:
    sender: User
    receiver: User
    since: str
    sent: int = 0

    async def exchange(self, count: int) -> None:
        """Send so many messages, and wait for each."""
        for _ in range(count):
            self.sent += 1
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(self._fetch())
                group.create_task(self._send(self.sent))
            numbers = [event["content"]["number"] for event in waiting.result()]
            check(numbers == [self.sent], "a message came twice, late, or not at all")

    async def verify_received(self) -> None:
        """See that nothing is shown again, even to who knows nothing any more."""
        check(not await self._fetch(timeout_ms=0), "a message was shown twice")
        again = await self.receiver.sync()
        check(not _messages(again), "a message was kept after its receipt")

    async def _send(self, number: int) -> None:
        content = {"number": number, "ciphertext": _CIPHERTEXT}
        await self.sender.put(
            f"/sendToDevice/{_TYPE}/{number}",
            {"messages": {self.receiver.user_id: {self.receiver.device_id: content}}},
        )

    async def _fetch(self, timeout_ms: int = _TIMEOUT_MS) -> list[dict[str, Any]]:
        answer = await self.receiver.sync(since=self.since, timeout_ms=timeout_ms)
        self.since = answer["next_batch"]
        return _messages(answer)


def _messages(answer: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = answer.get("to_device", {}).get("events", [])
    return events
