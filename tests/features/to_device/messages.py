"""Sending messages to devices, and fetching them, over HTTP."""

from collections.abc import Mapping
from typing import Any

from tests.http_client import Client, HttpResponse

ALICE = "@alice:test"
BOB = "@bob:test"
PHONE = "PHONE"
TABLET = "TABLET"
TYPE = "m.x"

Event = dict[str, Any]


async def put(
    client: Client, txn_id: str, messages: Mapping[str, Any], event_type: str = TYPE
) -> HttpResponse:
    path = f"/v3/sendToDevice/{event_type}/{txn_id}"
    return await client.put(path, {"messages": messages})


async def send(
    client: Client,
    number: int,
    *,
    to: str = BOB,
    device_id: str = PHONE,
) -> None:
    """Send a message that is a number, with a transaction ID of its own."""
    messages = {to: {device_id: {"n": number}}}
    response = await put(client, f"{to}{device_id}{number}", messages)
    assert (response.status, response.json) == (200, {})


class Inbox:
    """What a device is shown as it syncs, from answer to answer."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.since: str | None = None

    async def sync(self, *, timeout_ms: int = 0, initial: bool = False) -> list[Event]:
        """The messages of the next answer; *initial*: as if it knew nothing."""
        query: dict[str, str | int] = {"timeout": timeout_ms}
        if self.since is not None and not initial:
            query["since"] = self.since
        response = await self.client.get("/v3/sync", query=query)
        assert response.status == 200, response.body
        self.since = response.json["next_batch"]
        events: list[Event] = response.json.get("to_device", {}).get("events", [])
        return events

    async def some(self) -> list[Event]:
        """The messages of the next answer that has any.

        Other news may come first, like that of a device.
        """
        while True:
            events = await self.sync(timeout_ms=20_000)
            if events:
                return events

    async def numbers(self, *, timeout_ms: int = 0, initial: bool = False) -> list[int]:
        """The same of messages that are numbers."""
        events = await self.sync(timeout_ms=timeout_ms, initial=initial)
        return [event["content"]["n"] for event in events]


async def logged_in(client: Client) -> Client:
    """*client*, with its device there to be sent messages."""
    assert (await client.get("/v3/account/whoami")).status == 200
    return client
