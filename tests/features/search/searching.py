"""Searching over HTTP, and what is found."""

from typing import Any

from tests.http_client import Client, HttpResponse


async def search(
    client: Client, term: str, *, next_batch: str | None = None, **criteria: object
) -> HttpResponse:
    """Search for *term* among events of rooms."""
    body = {"search_categories": {"room_events": {"search_term": term, **criteria}}}
    query = {"next_batch": next_batch} if next_batch else {}
    return await client.post("/v3/search", body, query=query)


async def results(client: Client, term: str, **criteria: Any) -> dict[str, Any]:  # noqa: ANN401 - as `search` takes them
    """The answer of a search, which must succeed."""
    response = await search(client, term, **criteria)
    assert response.status == 200, response.body
    found: dict[str, Any] = response.json["search_categories"]["room_events"]
    return found


async def found(client: Client, term: str, **criteria: Any) -> list[str]:  # noqa: ANN401
    """The IDs of the events that a search finds, in their order."""
    return event_ids(await results(client, term, **criteria))


def event_ids(answer: dict[str, Any]) -> list[str]:
    """The IDs of the events of an answer."""
    return [each["result"]["event_id"] for each in answer["results"]]


async def edit(client: Client, room_id: str, event_id: str, body: str) -> str:
    """Replace the text of a message; the ID of the edit."""
    content = {
        "msgtype": "m.text",
        "body": f"* {body}",
        "m.new_content": {"msgtype": "m.text", "body": body},
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }
    response = await client.put(
        f"/v3/rooms/{room_id}/send/m.room.message/edit-{event_id}-{hash(body)}", content
    )
    assert response.status == 200, response.body
    edit_id: str = response.json["event_id"]
    return edit_id


async def redact(client: Client, room_id: str, event_id: str) -> None:
    """Redact an event, which must succeed."""
    response = await client.put(
        f"/v3/rooms/{room_id}/redact/{event_id}/redact-{event_id}", {}
    )
    assert response.status == 200, response.body
