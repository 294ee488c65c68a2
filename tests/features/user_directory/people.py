"""Searching the user directory over HTTP."""

from typing import Any

from tests.http_client import Client, HttpResponse


async def search(client: Client, term: str, **options: object) -> HttpResponse:
    body = {"search_term": term, **options}
    return await client.post("/v3/user_directory/search", body)


async def results(client: Client, term: str, **options: object) -> list[dict[str, Any]]:
    response = await search(client, term, **options)
    assert response.status == 200, response.body
    found: list[dict[str, Any]] = response.json["results"]
    return found


async def found(client: Client, term: str, **options: object) -> list[str]:
    return [each["user_id"] for each in await results(client, term, **options)]
